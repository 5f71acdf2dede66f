-- name: standing
-- Whether somebody else than an agent talks, and what was asked last of what is not over: a hold is open for as long as it lasts.
SELECT c.transfer_of IS NOT NULL
       OR EXISTS (SELECT FROM call_commands t WHERE t.call_id = c.id AND t.verb = 'transfer' AND t.result = 'transferred'),
       (SELECT m.verb FROM call_commands m
        WHERE m.attempt_id = %(attempt_id)s AND m.done_at IS NULL AND m.verb IN ('hold', 'resume')
        ORDER BY m.created_at DESC, m.id DESC LIMIT 1)
FROM calls c WHERE c.id = %(call_id)s;

-- name: list_open
SELECT m.id, m.attempt_id, m.verb, m.args ->> 'audio' AS audio, m.requested_by AS by, m.action, m.begun_at IS NOT NULL AS begun,
       extract(epoch FROM statement_timestamp() - m.created_at)::float8 AS age_s
FROM call_commands m
WHERE m.done_at IS NULL AND m.verb IN ('hold', 'resume') AND m.switch = %(switch)s::text || ' hold'
ORDER BY m.created_at, m.id;
