-- name: clock
SELECT statement_timestamp();

-- name: states
SELECT id, state, fence, epoch FROM attempts WHERE id = ANY(%(ids)s);

-- name: list_live
SELECT a.id AS attempt_id, a.call_id, c.tenant_id, a.lane, a.state, a.switch, a.carrier_id, a.gateway, a.fence, a.epoch,
       a.claimed_at, a.ringing_at, a.answered_at, c.ring_timeout_s, c.max_duration_s, a.inbound
FROM attempts a JOIN calls c ON c.id = a.call_id
WHERE a.state IN ('dialing', 'ringing', 'early', 'in_progress')
  AND (%(switch)s::text IS NULL OR a.switch = %(switch)s::text)
  AND (%(after)s::uuid IS NULL OR a.id > %(after)s::uuid)
ORDER BY a.id LIMIT %(limit)s;

-- name: list_overdue
SELECT a.id AS attempt_id, a.call_id, c.tenant_id, a.lane, a.state, a.switch, a.carrier_id, a.gateway, a.fence, a.epoch,
       a.claimed_at, a.ringing_at, a.early_at, a.answered_at, c.ring_timeout_s, c.max_duration_s, a.deadline_at, a.probes
FROM attempts a JOIN calls c ON c.id = a.call_id
WHERE a.state <> 'ended' AND a.deadline_at IS NOT NULL AND a.deadline_at <= least(%(now)s, statement_timestamp())
ORDER BY a.deadline_at LIMIT %(limit)s;

-- name: grant_grace
UPDATE attempts SET deadline_at = %(until)s, probes = 0
WHERE id IN (SELECT id FROM attempts WHERE state <> 'ended' AND deadline_at IS NOT NULL AND deadline_at < %(until)s
             ORDER BY id FOR NO KEY UPDATE);

-- name: postpone
-- The same times as in store/facts.py; a claim's own was its carrier's or the setting.
UPDATE attempts a SET probes = 0, deadline_at = greatest(a.deadline_at, %(now)s::timestamptz + make_interval(secs =>
    CASE a.state WHEN 'dialing' THEN coalesce((SELECT k.pdd_s FROM carriers k WHERE k.id = a.carrier_id), %(pdd_s)s)
                 WHEN 'in_progress' THEN c.max_duration_s + %(duration_grace_s)s::float8
                 ELSE c.ring_timeout_s + %(ring_grace_s)s::float8 END))
FROM calls c
WHERE a.id = %(attempt_id)s AND c.id = a.call_id AND a.state NOT IN ('queued', 'ended')
  AND a.state = coalesce(%(state)s::text, a.state);

-- name: list_expired
SELECT a.id
FROM calls c JOIN attempts a ON a.call_id = c.id AND a.state = 'queued'
WHERE NOT c.ended AND c.expires_at <= least(%(now)s, statement_timestamp())
ORDER BY c.expires_at LIMIT %(limit)s;

-- part: last_words
-- Silent: the carrier never answered in any way, so the switch may still be sending that INVITE. Crashed: it was restarted
-- under the call (so noted by its controller), or neither it nor its controller answered (so ended by the watchdog).
a.ringing_at IS NULL AND a.early_at IS NULL AND a.answered_at IS NULL AND a.sip_code IS NULL AS silent,
a.note IS NOT DISTINCT FROM 'switch_restarted' OR a.evidence IS NOT DISTINCT FROM 'watchdog' AS crashed

-- name: fates
SELECT a.id AS attempt_id, a.state, a.ended_at, a.local, a.claimed_at, {last_words} FROM attempts a WHERE a.id = ANY(%(ids)s);

-- name: list_lingering
SELECT a.id AS attempt_id, a.carrier_id, a.fence, a.ended_at, {last_words}
FROM attempts a
WHERE a.ended_at > %(since)s AND a.carrier_id IS NOT NULL AND a.fence IS NOT NULL AND NOT a.local
