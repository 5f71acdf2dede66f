-- part: command
m.id, m.call_id, m.attempt_id, m.switch, m.verb, m.args, m.requested_by, m.created_at

-- name: list_open
SELECT {command} FROM call_commands m
WHERE m.done_at IS NULL AND (m.switch = %(switch)s OR m.switch IS NULL) ORDER BY m.id;

-- name: open_for_attempt
SELECT {command} FROM call_commands m WHERE m.attempt_id = %(attempt_id)s AND m.done_at IS NULL ORDER BY m.id;

-- name: lock_call_of
-- The call's lock orders this against the attempt's end, which closes its commands.
SELECT id FROM calls WHERE id = (SELECT call_id FROM attempts WHERE id = %(attempt_id)s) FOR NO KEY UPDATE;

-- name: add
WITH live AS (
    SELECT a.id, a.call_id, coalesce(%(switch)s, a.switch) AS switch FROM attempts a
    WHERE a.id = %(attempt_id)s AND a.state <> 'ended'
), open AS (
    SELECT m.id, m.switch FROM call_commands m JOIN live ON live.id = m.attempt_id
    WHERE m.verb = %(verb)s AND m.done_at IS NULL
    ORDER BY m.id LIMIT 1
), added AS (
    INSERT INTO call_commands (id, call_id, attempt_id, switch, verb, args, requested_by, created_at)
    SELECT %(id)s, live.call_id, live.id, live.switch, %(verb)s, %(args)s, %(by)s, %(now)s FROM live
    WHERE NOT EXISTS (SELECT FROM open)
    RETURNING id, switch
)
SELECT id, switch FROM open UNION ALL SELECT id, switch FROM added;

-- name: notify
SELECT pg_notify('call_commands', %(payload)s);

-- name: finish
UPDATE call_commands SET done_at = %(now)s, result = %(result)s WHERE id = %(id)s AND done_at IS NULL;
