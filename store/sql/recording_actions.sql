-- name: lock_call
SELECT ended, recording IS NOT NULL FROM calls WHERE tenant_id = %(tenant_id)s AND id = %(call_id)s FOR NO KEY UPDATE;

-- name: add
-- Each wish is a row of its own: pause, resume, pause is not the same as pause, resume. Under a name that no switch has: a
-- controller of before migration 0014 takes all that it finds under its switch's own, but a probe, for a hangup.
INSERT INTO call_commands (id, call_id, attempt_id, switch, verb, requested_by, created_at, action)
VALUES (%(id)s, %(call_id)s, %(attempt_id)s, %(switch)s::text || ' recording', %(verb)s, %(by)s, %(now)s, %(action)s);
