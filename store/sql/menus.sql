-- name: who
-- Who chose, of a call that is no test: the one at the phone, whoever called whom.
SELECT c.tenant_id, c.id, CASE c.direction WHEN 'inbound' THEN c.from_number ELSE c.to_number END, t.name || '/' || g.name
FROM attempts a JOIN calls c ON c.id = a.call_id JOIN agents g ON g.id = c.agent_id JOIN tenants t ON t.id = c.tenant_id
WHERE a.id = %(attempt_id)s AND NOT c.test;

-- name: chosen
-- The first choice stays.
WITH kept AS (
    UPDATE attempts SET menu = %(outcome)s WHERE id = %(attempt_id)s AND menu IS NULL
    RETURNING id, call_id
)
INSERT INTO call_events (call_id, attempt_id, dedupe, source, type, at, data)
SELECT call_id, id, %(dedupe)s, 'relay', 'relay.menu', %(at)s, %(data)s FROM kept
ON CONFLICT (call_id, dedupe) DO NOTHING;
