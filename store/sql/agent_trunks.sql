-- part: trunk
w.name, w.tenant_id,
ARRAY(SELECT k.name FROM routes r JOIN carriers k ON k.id = r.carrier_id WHERE r.name = w.name ORDER BY r.tier, k.name) AS carriers

-- name: list
SELECT {trunk} FROM agent_trunks w ORDER BY w.name;

-- name: get
SELECT {trunk} FROM agent_trunks w WHERE w.name = %(name)s;

-- name: giving
-- Whoever chooses it for an agent waits, and is judged after this.
SELECT pg_advisory_xact_lock(hashtextextended('agent trunk', hashtextextended(%(name)s::text, 0)));

-- name: choosing
-- Whoever gives it to another tenant waits, and sees the agent.
SELECT pg_advisory_xact_lock_shared(hashtextextended('agent trunk', hashtextextended(%(name)s::text, 0)));

-- name: put
INSERT INTO agent_trunks (name, tenant_id) VALUES (%(name)s, %(tenant_id)s)
ON CONFLICT (name) DO UPDATE SET tenant_id = excluded.tenant_id;

-- name: foreign
-- Agents of other tenants than the one that is to have it alone.
SELECT g.name FROM agents g WHERE g.trunk = %(name)s AND g.tenant_id <> %(tenant_id)s AND g.archived_at IS NULL LIMIT 1;

-- name: remove
DELETE FROM agent_trunks WHERE name = %(name)s;

-- name: may_use
SELECT FROM agent_trunks w WHERE w.name = %(name)s AND (w.tenant_id IS NULL OR w.tenant_id = %(tenant_id)s);
