-- What is told of a call beside its states: under its lock, with its next sequence.

-- name: lock_call
-- Every change that is told takes the call first, as all that give out a sequence do.
SELECT {call}, coalesce(c.webhook_url, t.webhook_url, t.webhook_also) AS hook
FROM calls c JOIN tenants t ON t.id = c.tenant_id
WHERE c.id = (SELECT call_id FROM attempts WHERE id = %(attempt_id)s) FOR NO KEY UPDATE OF c;

-- name: attempt
SELECT {attempt} FROM attempts a WHERE a.id = %(attempt_id)s;

-- name: shown
-- The dial that the call is shown with (call_list.sql).
SELECT {attempt} FROM attempts a WHERE a.call_id = %(call_id)s ORDER BY (a.answered_at IS NOT NULL) DESC, a.number DESC LIMIT 1;

-- name: count
UPDATE calls SET sequence = %(sequence)s WHERE id = %(call_id)s;

-- name: log
INSERT INTO call_events (call_id, attempt_id, dedupe, source, type, at, data)
VALUES (%(call_id)s, %(attempt_id)s, %(dedupe)s, %(source)s, %(type)s, %(at)s, %(data)s)
ON CONFLICT (call_id, dedupe) DO NOTHING;
