-- What an agent asks of us with its call token.

-- name: whose
-- Whose attempt it is, and which key its tokens are signed with: asked before anything is proven, so it is told to nobody.
SELECT c.tenant_id, t.call_token_key, a.ended_at
FROM attempts a JOIN calls c ON c.id = a.call_id JOIN tenants t ON t.id = c.tenant_id
WHERE a.id = %(attempt_id)s AND c.id = %(call_id)s;

-- name: config
-- To the agent that has the call, or is to take over and gets ready for it. To the one before, nothing more.
SELECT c.id AS call_id, a.id AS attempt_id, a.number, a.state, c.direction, c.to_number, c.from_number, a.answered_at,
       c.max_duration_s, c.client_reference, c.metadata, c.agent_variables, c.recipient, c.test,
       g.id AS agent_id, g.name AS agent_name, g.kind AS agent_kind, g.runtime
FROM calls c JOIN attempts a ON a.call_id = c.id JOIN agents g ON g.id = %(agent_id)s AND g.tenant_id = c.tenant_id
WHERE c.tenant_id = %(tenant_id)s AND c.id = %(call_id)s AND a.id = %(attempt_id)s
  AND (g.id = c.agent_id
       OR EXISTS (SELECT FROM call_commands m WHERE m.attempt_id = a.id AND m.done_at IS NULL AND m.verb = 'transfer'
                  AND m.args ->> 'agent' = g.id::text));
