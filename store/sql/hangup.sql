-- name: lock_call
SELECT ended FROM calls WHERE tenant_id = %(tenant_id)s AND id = %(call_id)s FOR NO KEY UPDATE;

-- name: lock_latest
SELECT id, state, switch FROM attempts WHERE call_id = %(call_id)s ORDER BY number DESC LIMIT 1 FOR NO KEY UPDATE;

-- name: want_cancel
UPDATE calls SET cancel_requested = true WHERE id = %(call_id)s AND NOT cancel_requested;

-- name: find_action
SELECT id, attempt_id, result, verb FROM call_commands WHERE call_id = %(call_id)s AND action = %(action)s;

-- name: add_done
-- A wish without a name for a call that has ended is on record once.
WITH same AS (
    SELECT id FROM call_commands
    WHERE attempt_id = %(attempt_id)s AND verb = %(verb)s AND action IS NULL AND %(action)s::text IS NULL ORDER BY id LIMIT 1
), added AS (
    INSERT INTO call_commands (id, call_id, attempt_id, switch, verb, requested_by, created_at, done_at, result, action)
    SELECT %(id)s, %(call_id)s, %(attempt_id)s, %(switch)s, %(verb)s, %(by)s, %(now)s, %(now)s, %(result)s, %(action)s
    WHERE NOT EXISTS (SELECT FROM same)
    RETURNING id
)
SELECT id FROM same UNION ALL SELECT id FROM added;

-- name: add_command
-- One open hangup per attempt: a repeated wish is the same command, but one with a name of its own is one of its own.
WITH open AS (
    SELECT id FROM call_commands
    WHERE attempt_id = %(attempt_id)s AND verb = %(verb)s AND done_at IS NULL
    ORDER BY id LIMIT 1
), added AS (
    INSERT INTO call_commands (id, call_id, attempt_id, switch, verb, requested_by, created_at, action)
    SELECT %(id)s, %(call_id)s, %(attempt_id)s, %(switch)s, %(verb)s, %(by)s, %(now)s, %(action)s
    WHERE %(action)s::text IS NOT NULL OR NOT EXISTS (SELECT FROM open)
    RETURNING id
)
SELECT id FROM added UNION ALL SELECT id FROM open LIMIT 1;

-- name: log_request
INSERT INTO call_events (call_id, attempt_id, dedupe, source, type, at, data)
VALUES (%(call_id)s, %(attempt_id)s, 'hangup:' || %(attempt_id)s::uuid, 'api', 'call.hangup_requested', %(now)s,
        jsonb_build_object('by', %(by)s::text))
ON CONFLICT (call_id, dedupe) DO NOTHING;

-- name: notify
SELECT pg_notify('call_commands', %(payload)s);
