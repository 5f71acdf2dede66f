-- name: list_unpushed
-- Two looks, each with its own index, so that a backlog already laned is never walked through.
SELECT attempt_id, lane, priority FROM (
    (SELECT a.id AS attempt_id, a.lane, c.priority, a.due_at
     FROM attempts a JOIN calls c ON c.id = a.call_id JOIN tenants t ON t.id = c.tenant_id
     WHERE a.state = 'queued' AND a.pushed_epoch IS NULL AND a.due_at <= %(now)s
       AND c.expires_at > %(now)s AND NOT t.paused
     ORDER BY a.due_at LIMIT %(limit)s)
    UNION ALL
    (SELECT a.id, a.lane, c.priority, a.due_at
     FROM attempts a JOIN calls c ON c.id = a.call_id JOIN tenants t ON t.id = c.tenant_id
     WHERE a.state = 'queued' AND a.pushed_epoch IS NOT NULL
       AND (a.pushed_epoch < %(epoch)s OR a.pushed_epoch > %(epoch)s) AND a.due_at <= %(now)s
       AND c.expires_at > %(now)s AND NOT t.paused
     ORDER BY a.due_at LIMIT %(limit)s)
) found
ORDER BY due_at, attempt_id LIMIT %(limit)s;

-- name: mark_pushed
UPDATE attempts SET pushed_epoch = %(epoch)s, pushed_at = %(now)s
WHERE id IN (SELECT id FROM attempts WHERE id = ANY(%(ids)s) AND state = 'queued'
             ORDER BY id FOR NO KEY UPDATE SKIP LOCKED);

-- name: list_pushed
SELECT a.id AS attempt_id, a.lane, c.priority
FROM attempts a JOIN calls c ON c.id = a.call_id JOIN tenants t ON t.id = c.tenant_id
WHERE a.state = 'queued' AND a.pushed_epoch IS NOT NULL AND a.pushed_epoch = %(epoch)s AND a.pushed_at < %(before)s
  AND NOT t.paused
ORDER BY a.pushed_at LIMIT %(limit)s;

-- name: states
SELECT id, state, fence, epoch FROM attempts WHERE id = ANY(%(ids)s);

-- name: list_live
SELECT a.id AS attempt_id, a.call_id, c.tenant_id, a.lane, a.state, a.switch, a.carrier_id, a.gateway, a.fence, a.epoch,
       a.claimed_at, a.ringing_at, a.answered_at, c.ring_timeout_s, c.max_duration_s
FROM attempts a JOIN calls c ON c.id = a.call_id
WHERE a.state IN ('dialing', 'ringing', 'early', 'in_progress')
  AND (%(switch)s::text IS NULL OR a.switch = %(switch)s::text)
ORDER BY a.id;

-- name: list_overdue
SELECT a.id AS attempt_id, a.call_id, c.tenant_id, a.lane, a.state, a.switch, a.carrier_id, a.gateway, a.fence, a.epoch,
       a.claimed_at, a.ringing_at, a.early_at, a.answered_at, c.ring_timeout_s, c.max_duration_s, a.deadline_at, a.probes
FROM attempts a JOIN calls c ON c.id = a.call_id
WHERE a.state <> 'ended' AND a.deadline_at IS NOT NULL AND a.deadline_at <= %(now)s
ORDER BY a.deadline_at LIMIT %(limit)s;

-- name: mark_probe
UPDATE attempts SET probes = probes + 1, deadline_at = %(next_deadline)s
WHERE id = %(attempt_id)s AND state <> 'ended' AND deadline_at < %(next_deadline)s;

-- name: list_expired
SELECT a.id
FROM calls c JOIN attempts a ON a.call_id = c.id AND a.state = 'queued'
WHERE NOT c.ended AND c.expires_at <= %(now)s
ORDER BY c.expires_at LIMIT %(limit)s;

-- name: list_lingering
-- Silent: the carrier never answered in any way, so the switch may still be sending that INVITE.
SELECT a.id AS attempt_id, a.carrier_id, a.fence, a.ended_at,
       a.ringing_at IS NULL AND a.early_at IS NULL AND a.answered_at IS NULL AND a.sip_code IS NULL AS silent
FROM attempts a
WHERE a.ended_at > %(since)s AND a.carrier_id IS NOT NULL AND a.fence IS NOT NULL AND NOT a.local
