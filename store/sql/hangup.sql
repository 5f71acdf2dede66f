-- name: lock_call
SELECT ended FROM calls WHERE tenant_id = %(tenant_id)s AND id = %(call_id)s FOR NO KEY UPDATE;

-- name: lock_latest
SELECT id, state, switch FROM attempts WHERE call_id = %(call_id)s ORDER BY number DESC LIMIT 1 FOR NO KEY UPDATE;

-- name: want_cancel
UPDATE calls SET cancel_requested = true WHERE id = %(call_id)s AND NOT cancel_requested;

-- name: add_command
-- One open hangup per attempt: a repeated wish is the same command.
WITH open AS (
    SELECT id FROM call_commands
    WHERE attempt_id = %(attempt_id)s AND verb = %(verb)s AND done_at IS NULL
    ORDER BY id LIMIT 1
), added AS (
    INSERT INTO call_commands (id, call_id, attempt_id, switch, verb, requested_by, created_at)
    SELECT %(id)s, %(call_id)s, %(attempt_id)s, %(switch)s, %(verb)s, %(by)s, %(now)s
    WHERE NOT EXISTS (SELECT FROM open)
    RETURNING id
)
SELECT id FROM open UNION ALL SELECT id FROM added;

-- name: log_request
INSERT INTO call_events (call_id, attempt_id, dedupe, source, type, at, data)
VALUES (%(call_id)s, %(attempt_id)s, 'hangup:' || %(attempt_id)s::uuid, 'api', 'call.hangup_requested', %(now)s,
        jsonb_build_object('by', %(by)s::text))
ON CONFLICT (call_id, dedupe) DO NOTHING;

-- name: notify
SELECT pg_notify('call_commands', %(payload)s);
