-- name: lock_call
SELECT c.ended, g.kind,
       CASE WHEN c.status = 'ringing' AND c.early THEN 'early' ELSE c.status END
FROM calls c JOIN agents g ON g.id = c.agent_id
WHERE c.tenant_id = %(tenant_id)s AND c.id = %(call_id)s FOR NO KEY UPDATE OF c;

-- name: find_action
-- By the asker's name, or by its own id: a try before this one may have been committed though its connection was lost.
SELECT id, verb, args, result FROM call_commands WHERE call_id = %(call_id)s AND (action = %(action)s OR id = %(id)s);

-- name: add
-- Each wish is a row of its own. Under a name that no switch has, as those for a recording are: a controller of before migration
-- 0018 cannot carry it out; a hold is the relay's. How old it is will be told by the clock that it is written by. Nothing where too many wait.
INSERT INTO call_commands (id, call_id, attempt_id, switch, verb, args, requested_by, created_at, action)
SELECT %(id)s, %(call_id)s, %(attempt_id)s, %(switch)s::text || ' ' || %(whose)s, %(verb)s, %(args)s, %(by)s, statement_timestamp(),
       %(action)s
WHERE (SELECT count(*) FROM call_commands m
       WHERE m.attempt_id = %(attempt_id)s AND m.verb IN ('dtmf', 'play', 'hold', 'resume') AND m.done_at IS NULL) < %(most)s
RETURNING id;

-- name: begun
-- From now on it is not for the controllers.
UPDATE call_commands SET begun_at = %(now)s WHERE id = %(id)s AND begun_at IS NULL;

-- name: played
UPDATE call_commands SET done_at = %(now)s, result = %(result)s
WHERE id = %(id)s AND attempt_id = %(attempt_id)s AND verb = 'play' AND done_at IS NULL;
