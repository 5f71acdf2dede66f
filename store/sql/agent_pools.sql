-- part: pool
p.name, p.tenant_id, p.inbound_reserved, p.dials_per_seat::float8 AS dials_per_seat

-- name: list
SELECT {pool} FROM agent_pools p ORDER BY p.name;

-- name: get
SELECT {pool} FROM agent_pools p WHERE p.name = %(name)s;

-- name: keys
SELECT p.name, p.token_key FROM agent_pools p WHERE p.name = ANY(%(names)s);

-- name: renew_key
-- As migration 0032 makes them.
UPDATE agent_pools SET token_key = 'fleet_' || replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '')
WHERE name = %(name)s;

-- name: giving
-- Whoever chooses it for an agent waits, and is judged after this.
SELECT pg_advisory_xact_lock(hashtextextended('agent pool', hashtextextended(%(name)s::text, 0)));

-- name: choosing
-- Whoever gives it to another tenant waits, and sees the agent.
SELECT pg_advisory_xact_lock_shared(hashtextextended('agent pool', hashtextextended(%(name)s::text, 0)));

-- name: ensure
INSERT INTO agent_pools (name) VALUES (%(name)s) ON CONFLICT (name) DO NOTHING;

-- name: update
-- Only what is named: what is not in the changes keeps the row's own value.
UPDATE agent_pools p SET (tenant_id, inbound_reserved, dials_per_seat) = (
    SELECT n.tenant_id, n.inbound_reserved, n.dials_per_seat FROM jsonb_populate_record(p, %(changes)s) n)
WHERE p.name = %(name)s
RETURNING {pool};

-- name: foreign
-- Agents of other tenants than the one that is to have it alone.
SELECT g.name FROM agents g WHERE g.pool = %(name)s AND g.tenant_id <> %(tenant_id)s AND g.archived_at IS NULL LIMIT 1;

-- name: remove
DELETE FROM agent_pools WHERE name = %(name)s;

-- name: may_use
SELECT FROM agent_pools p WHERE p.name = %(name)s AND (p.tenant_id IS NULL OR p.tenant_id = %(tenant_id)s);
