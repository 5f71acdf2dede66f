-- part: limits
k.id, k.name, k.max_channels, k.cps::float8 AS cps, k.window_ms, k.jitter_ms, k.linger_ms, k.invite_cost, k.paused, k.pdd_s,
k.account, k.source_ip, k.urgent_share::float8 AS urgent_share, k.bulk_floor::float8 AS bulk_floor, k.counts_inbound,
k.inbound_reserved, k.lab

-- part: endpoint
e.id, e.carrier_id, e.gateway, e.address, e.enabled, e.name,
(e.name IS NULL OR EXISTS (SELECT FROM gateway_loads l WHERE l.gateway = e.gateway AND l.state = 'loaded')) AS loaded

-- name: put_carrier
INSERT INTO carriers AS k (id, name, max_channels, cps, window_ms, jitter_ms, linger_ms, invite_cost, pdd_s, paused,
                           account, source_ip, urgent_share, bulk_floor, counts_inbound, inbound_reserved, lab)
VALUES (%(id)s, %(name)s, %(max_channels)s, %(cps)s::float8, %(window_ms)s, %(jitter_ms)s, %(linger_ms)s, %(invite_cost)s,
        %(pdd_s)s, %(paused)s, %(account)s, %(source_ip)s, %(urgent_share)s::float8, %(bulk_floor)s::float8,
        %(counts_inbound)s, %(inbound_reserved)s, %(lab)s)
ON CONFLICT (name) DO UPDATE SET
    max_channels = excluded.max_channels, cps = excluded.cps, window_ms = excluded.window_ms,
    jitter_ms = excluded.jitter_ms, linger_ms = excluded.linger_ms, invite_cost = excluded.invite_cost,
    pdd_s = excluded.pdd_s, paused = excluded.paused, account = excluded.account, source_ip = excluded.source_ip,
    urgent_share = excluded.urgent_share, bulk_floor = excluded.bulk_floor, counts_inbound = excluded.counts_inbound,
    inbound_reserved = excluded.inbound_reserved
WHERE k.lab = excluded.lab
RETURNING {limits};

-- name: lock_name
-- Of those who would create the same one, one does.
SELECT pg_advisory_xact_lock(hashtextextended('carrier:' || %(name)s::text, 0));

-- name: exists
SELECT FROM carriers WHERE name = %(name)s;

-- name: update_carrier
-- Only what is named: what is not in the changes keeps the row's own value.
UPDATE carriers k SET (max_channels, cps, window_ms, jitter_ms, linger_ms, invite_cost, pdd_s, paused, account, source_ip,
                       urgent_share, bulk_floor, counts_inbound, inbound_reserved) = (
    SELECT n.max_channels, n.cps, n.window_ms, n.jitter_ms, n.linger_ms, n.invite_cost, n.pdd_s, n.paused, n.account,
           n.source_ip, n.urgent_share, n.bulk_floor, n.counts_inbound, n.inbound_reserved
    FROM jsonb_populate_record(k, %(changes)s) n)
WHERE k.name = %(name)s
RETURNING {limits};

-- name: put_endpoint
INSERT INTO endpoints AS e (id, carrier_id, gateway, address, enabled)
VALUES (%(id)s, %(carrier_id)s, %(gateway)s, %(address)s, %(enabled)s)
ON CONFLICT (gateway) DO UPDATE SET
    carrier_id = excluded.carrier_id, address = excluded.address, enabled = excluded.enabled
RETURNING {endpoint};

-- name: lock_routes
-- Two who change routes at once take turns; readers go on.
LOCK TABLE routes IN SHARE ROW EXCLUSIVE MODE;

-- name: delete_route
DELETE FROM routes WHERE name = %(name)s;

-- name: prefix_owner
SELECT prefix, name FROM routes WHERE prefix = ANY(%(prefixes)s) ORDER BY prefix LIMIT 1;

-- name: lab_names
SELECT name FROM carriers WHERE id = ANY(%(ids)s) AND lab ORDER BY name;

-- name: insert_route
INSERT INTO routes (id, name, prefix, carrier_id, tier, weight, price)
SELECT id, name, prefix, carrier_id, tier, weight, price FROM jsonb_populate_recordset(NULL::routes, %(rows)s);

-- name: list_limits
SELECT {limits} FROM carriers k ORDER BY k.name;

-- name: list_endpoints
SELECT {endpoint} FROM endpoints e
WHERE %(lab)s::boolean IS NULL OR %(lab)s = (SELECT k.lab FROM carriers k WHERE k.id = e.carrier_id)
ORDER BY e.gateway;

-- name: list_routes
SELECT name, prefix, carrier_id, tier, weight, price::float8
FROM routes ORDER BY name, prefix, tier, weight DESC, carrier_id;

-- name: route_for
SELECT name FROM routes WHERE prefix = ANY(%(prefixes)s) ORDER BY length(prefix) DESC, name LIMIT 1;

-- name: routes_by_prefix
SELECT prefix, min(name) FROM routes GROUP BY prefix;

-- name: set_paused
UPDATE carriers SET paused = %(paused)s WHERE id = %(id)s;
