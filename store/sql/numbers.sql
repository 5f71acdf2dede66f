-- part: number
n.number, n.tenant_id, t.name AS tenant_name, n.agent_id, g.name AS agent_name, n.carrier_id, k.name AS carrier_name, n.pool,
n.enabled

-- part: joined
numbers n JOIN tenants t ON t.id = n.tenant_id JOIN agents g ON g.id = n.agent_id LEFT JOIN carriers k ON k.id = n.carrier_id

-- name: put
-- Only an agent of the same tenant that wants no variables, and never another tenant's number. FOR SHARE: what is changed of the
-- agent at this moment is waited for, and seen.
INSERT INTO numbers AS n (number, tenant_id, agent_id, carrier_id, pool, enabled)
SELECT %(number)s, g.tenant_id, g.id, %(carrier_id)s, %(pool)s, %(enabled)s
FROM agents g WHERE g.id = %(agent_id)s AND g.tenant_id = %(tenant_id)s AND g.archived_at IS NULL AND g.needs = '{}' FOR SHARE OF g
ON CONFLICT (number) DO UPDATE SET
    agent_id = excluded.agent_id, carrier_id = excluded.carrier_id, pool = excluded.pool, enabled = excluded.enabled
WHERE n.tenant_id = excluded.tenant_id;

-- name: get
SELECT {number} FROM {joined} WHERE n.number = %(number)s;

-- name: list
SELECT {number} FROM {joined}
WHERE %(tenant_id)s::uuid IS NULL OR n.tenant_id = %(tenant_id)s::uuid
ORDER BY n.number;

-- name: called_here
-- Those of the numbers whose calls are taken here: the tenant's, or (NULL) whoever's.
SELECT n.number FROM numbers n
WHERE n.number = ANY(%(numbers)s) AND n.enabled AND (%(tenant_id)s::uuid IS NULL OR n.tenant_id = %(tenant_id)s::uuid);

-- name: remove
DELETE FROM numbers WHERE number = %(number)s;

-- name: list_refused
SELECT switch, reason, count, last_at, last_number FROM callers_refused ORDER BY switch, reason;
