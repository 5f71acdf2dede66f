-- part: command
m.id, m.call_id, m.attempt_id, split_part(m.switch, ' ', 1) AS switch, m.verb, m.args, m.requested_by, m.created_at,
extract(epoch FROM statement_timestamp() - m.created_at)::float8 AS age_s

-- name: list_open
-- Wishes for a recording, and for the callee, stand apart: store/sql/recording_actions.sql, call_actions.sql. What the switch
-- has begun is nobody's to do again.
SELECT {command} FROM call_commands m
WHERE m.done_at IS NULL AND m.begun_at IS NULL
  AND (m.switch IN (%(switch)s, %(switch)s::text || ' recording', %(switch)s::text || ' action') OR m.switch IS NULL)
ORDER BY m.id;

-- name: list_actions
-- What was asked of a call by people and agents; the watchdog's questions are none of theirs.
SELECT m.id, m.attempt_id, m.verb, m.requested_by, m.action, m.created_at, m.begun_at, m.done_at, m.result,
       (m.args ->> 'call')::uuid AS leg_id
FROM call_commands m JOIN calls c ON c.id = m.call_id
WHERE c.tenant_id = %(tenant_id)s AND m.call_id = %(call_id)s AND m.verb <> 'probe'
  AND (%(action)s::text IS NULL OR m.action = %(action)s OR m.id::text = %(action)s)
ORDER BY m.id;

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

-- name: mark_asked
-- Under the call's lock: only an attempt that is still where whoever asks believes it to be.
UPDATE attempts SET probes = probes + 1, deadline_at = %(look_again)s
WHERE id = %(attempt_id)s AND state = %(state)s AND deadline_at = %(deadline_at)s AND probes = %(probes)s;

-- name: ask
-- A question that nobody has answered yet is asked anew, with what is believed now.
WITH live AS (
    SELECT a.id, a.call_id, a.switch FROM attempts a WHERE a.id = %(attempt_id)s
), asked AS (
    UPDATE call_commands m SET args = %(args)s, switch = live.switch FROM live
    WHERE m.attempt_id = live.id AND m.verb = 'probe' AND m.done_at IS NULL
    RETURNING m.id, m.switch
), added AS (
    INSERT INTO call_commands (id, call_id, attempt_id, switch, verb, args, requested_by, created_at)
    SELECT %(id)s, live.call_id, live.id, live.switch, 'probe', %(args)s, 'watchdog', %(now)s FROM live
    WHERE NOT EXISTS (SELECT FROM asked)
    RETURNING id, switch
)
SELECT id, switch FROM asked UNION ALL SELECT id, switch FROM added;

-- name: alive
-- It lives: the question does not count towards those after which silence is taken for an end.
UPDATE attempts SET probes = 0
WHERE id = (SELECT m.attempt_id FROM call_commands m WHERE m.id = %(id)s AND m.verb = 'probe' AND m.done_at IS NULL)
  AND state <> 'ended' AND probes > 0;

-- name: notify
SELECT pg_notify('call_commands', %(payload)s);

-- name: finish
-- The end of a call that is hung up may be written before the switch's word that it was: then it was no end before that.
UPDATE call_commands SET done_at = coalesce(done_at, %(now)s), result = %(result)s
WHERE id = %(id)s AND (done_at IS NULL OR (verb = 'hangup' AND result = 'ended' AND %(result)s::text = 'killed'));
