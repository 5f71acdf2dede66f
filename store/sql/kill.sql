-- name: live
SELECT count(*) FROM attempts a JOIN calls c ON c.id = a.call_id
WHERE a.state IN ('dialing', 'ringing', 'early', 'in_progress')
  AND (%(switch)s::text IS NULL OR a.switch = %(switch)s)
  AND (%(carrier_id)s::uuid IS NULL OR a.carrier_id = %(carrier_id)s)
  AND (%(tenant_id)s::uuid IS NULL OR c.tenant_id = %(tenant_id)s)
  AND (%(agent_id)s::uuid IS NULL OR c.agent_id = %(agent_id)s);

-- name: lock_calls
-- What is up is little beside what waits, so it is read whole; a call later than the last of the portion before.
SELECT c.id FROM calls c
WHERE c.id IN (
        SELECT a.call_id FROM attempts a
        WHERE a.state IN ('dialing', 'ringing', 'early', 'in_progress') AND a.call_id > %(after)s
          AND (%(switch)s::text IS NULL OR a.switch = %(switch)s)
          AND (%(carrier_id)s::uuid IS NULL OR a.carrier_id = %(carrier_id)s))
  AND NOT c.ended
  AND (%(tenant_id)s::uuid IS NULL OR c.tenant_id = %(tenant_id)s)
  AND (%(agent_id)s::uuid IS NULL OR c.agent_id = %(agent_id)s)
ORDER BY c.id LIMIT %(limit)s FOR NO KEY UPDATE;

-- name: want_cancel
UPDATE calls SET cancel_requested = true WHERE id = ANY(%(calls)s) AND NOT cancel_requested;

-- name: add_commands
WITH latest AS (
    SELECT w.id AS command_id, l.* FROM unnest(%(calls)s::uuid[], %(ids)s::uuid[]) AS w(call_id, id)
    CROSS JOIN LATERAL (SELECT a.id, a.call_id, a.switch, a.state FROM attempts a
                        WHERE a.call_id = w.call_id ORDER BY a.number DESC LIMIT 1) l
    WHERE l.state NOT IN ('queued', 'ended')
), logged AS (
    INSERT INTO call_events (call_id, attempt_id, dedupe, source, type, at, data)
    SELECT call_id, id, 'hangup:' || id, 'operator', 'call.hangup_requested', %(now)s, '{"by": "operator"}'::jsonb FROM latest
    ON CONFLICT (call_id, dedupe) DO NOTHING
)
INSERT INTO call_commands (id, call_id, attempt_id, switch, verb, requested_by, created_at)
SELECT command_id, call_id, id, switch, 'hangup', 'operator', %(now)s FROM latest
WHERE NOT EXISTS (SELECT FROM call_commands m
                  WHERE m.attempt_id = latest.id AND m.verb = 'hangup' AND m.requested_by = 'operator'
                    AND (m.done_at IS NULL OR m.done_at > %(now)s::timestamptz - interval '5 s'));

-- name: gone_back
SELECT c.id, c.tenant_id FROM calls c
CROSS JOIN LATERAL (SELECT a.state FROM attempts a WHERE a.call_id = c.id ORDER BY a.number DESC LIMIT 1) l
WHERE c.id = ANY(%(calls)s) AND l.state = 'queued';

-- name: notify
SELECT pg_notify('call_commands', '');
