-- part: version
v.gateway, v.carrier_id, v.endpoint_id, v.version, v.params, v.secret_env, v.retired_at

-- name: lock
-- Two who plan or shift at once take turns; readers go on.
LOCK TABLE gateway_versions IN SHARE ROW EXCLUSIVE MODE;

-- name: latest
SELECT DISTINCT ON (v.endpoint_id) {version} FROM gateway_versions v WHERE v.endpoint_id IS NOT NULL
ORDER BY v.endpoint_id, v.version DESC;

-- name: not_dialed
SELECT l.gateway FROM (
    SELECT DISTINCT ON (v.endpoint_id) v.endpoint_id, v.gateway FROM gateway_versions v WHERE v.endpoint_id IS NOT NULL
    ORDER BY v.endpoint_id, v.version DESC) l
JOIN endpoints e ON e.id = l.endpoint_id
WHERE e.enabled AND (e.gateway <> l.gateway
                     OR NOT EXISTS (SELECT FROM gateway_loads d WHERE d.gateway = l.gateway AND d.state = 'loaded'))
ORDER BY l.gateway;

-- name: last_number
-- Of any gateway that was ever called so, whoever's it was.
SELECT coalesce(max(v.version), 0) FROM gateway_versions v WHERE v.gateway = %(prefix)s::text || v.version;

-- name: add
INSERT INTO gateway_versions AS v (gateway, carrier_id, endpoint_id, version, params, secret_env, created_at)
VALUES (%(gateway)s, %(carrier_id)s, %(endpoint_id)s, %(version)s, %(params)s, %(secret_env)s, %(now)s)
RETURNING {version};

-- name: retire_unused
-- A version that no dial ever took, and that is not wanted any more.
UPDATE gateway_versions v SET retired_at = statement_timestamp()
WHERE v.endpoint_id = %(endpoint_id)s AND v.gateway <> %(gateway)s AND v.retired_at IS NULL
  AND NOT EXISTS (SELECT FROM endpoints e WHERE e.id = v.endpoint_id AND e.gateway = v.gateway);

-- name: wanted
-- On this switch: what is in use or is to be, of carriers of its kind, and what is retired but still there.
SELECT {version} FROM gateway_versions v
WHERE (v.retired_at IS NULL AND EXISTS (SELECT FROM carriers k WHERE k.id = v.carrier_id AND k.lab = %(lab)s))
   OR EXISTS (SELECT FROM gateway_loads l WHERE l.gateway = v.gateway AND l.switch = %(switch)s AND l.state <> 'gone')
ORDER BY v.gateway;

-- name: all_versions
SELECT {version} FROM gateway_versions v
WHERE v.retired_at IS NULL OR EXISTS (SELECT FROM gateway_loads l WHERE l.gateway = v.gateway AND l.state <> 'gone')
ORDER BY v.gateway;

-- name: challenged
-- With a password, and some switch may have it.
SELECT v.gateway FROM gateway_versions v JOIN carriers k ON k.id = v.carrier_id
WHERE k.name = %(name)s AND v.secret_env IS NOT NULL
  AND (v.retired_at IS NULL OR EXISTS (SELECT FROM gateway_loads l WHERE l.gateway = v.gateway AND l.state <> 'gone'))
ORDER BY v.gateway;

-- name: loads
SELECT l.switch, l.gateway, l.state, l.why, l.at FROM gateway_loads l
WHERE %(switch)s::text IS NULL OR l.switch = %(switch)s ORDER BY l.switch, l.gateway;

-- name: put_load
INSERT INTO gateway_loads AS l (switch, gateway, state, why, at)
VALUES (%(switch)s, %(gateway)s, %(state)s, %(why)s, %(now)s)
ON CONFLICT (switch, gateway) DO UPDATE SET state = excluded.state, why = excluded.why, at = excluded.at;

-- part: ready
-- The newest version of each endpoint that every switch of its kind which answers has loaded, and one at least has. By the clock that
-- seen_at is of.
SELECT DISTINCT ON (v.endpoint_id) v.endpoint_id, v.gateway, v.version FROM gateway_versions v
WHERE v.endpoint_id IS NOT NULL AND v.retired_at IS NULL
  AND EXISTS (SELECT FROM gateway_loads l WHERE l.gateway = v.gateway AND l.state = 'loaded')
  AND NOT EXISTS (
      SELECT FROM switches s WHERE s.seen_at > statement_timestamp() - make_interval(secs => %(silent_s)s::float8)
        AND s.lab = (SELECT k.lab FROM carriers k WHERE k.id = v.carrier_id)
        AND NOT EXISTS (SELECT FROM gateway_loads l
                        WHERE l.switch = s.name AND l.gateway = v.gateway AND l.state = 'loaded'))
ORDER BY v.endpoint_id, v.version DESC

-- name: to_shift
-- Asked first: the shift itself is heard by everybody who keeps a picture of the endpoints.
SELECT r.gateway FROM ({ready}) r JOIN endpoints e ON e.id = r.endpoint_id
WHERE e.gateway <> r.gateway
   OR EXISTS (SELECT FROM gateway_versions v
              WHERE v.endpoint_id = r.endpoint_id AND v.version < r.version AND v.retired_at IS NULL);

-- name: shift
-- New dials take those. All at once: a claim sees the old one or the new one. What is left behind takes no new dial, and is
-- killed when its calls are over.
WITH ready AS (
    {ready}
), shifted AS (
    UPDATE endpoints e SET gateway = r.gateway FROM ready r WHERE e.id = r.endpoint_id AND e.gateway <> r.gateway
    RETURNING e.id, e.gateway
), retired AS (
    UPDATE gateway_versions v SET retired_at = statement_timestamp() FROM ready r
    WHERE v.endpoint_id = r.endpoint_id AND v.version < r.version AND v.retired_at IS NULL
)
SELECT gateway FROM shifted ORDER BY gateway;

-- name: retired_here
SELECT v.gateway FROM gateway_versions v JOIN gateway_loads l ON l.gateway = v.gateway
WHERE l.switch = %(switch)s AND l.state <> 'gone' AND v.retired_at IS NOT NULL
  -- A claim that was under way when it was retired has been committed, or never will be.
  AND v.retired_at <= statement_timestamp() - make_interval(secs => %(settle_s)s::float8)
ORDER BY v.gateway;

-- name: users
-- Whose calls are on the gateway there: of Postgres' opinion, and of the channels that the switch says it has.
SELECT a.id FROM attempts a
WHERE a.switch = %(switch)s AND a.gateway = %(gateway)s AND a.state IN ('dialing', 'ringing', 'early', 'in_progress')
UNION
SELECT a.id FROM attempts a WHERE a.id = ANY(%(channels)s) AND a.gateway = %(gateway)s;

-- name: order
INSERT INTO carrier_orders AS o (switch, id, kind, asked_at)
SELECT s.name, %(id)s, %(kind)s, %(now)s FROM switches s
WHERE %(switch)s::text IS NULL OR s.name = %(switch)s
ON CONFLICT (switch) DO UPDATE SET
    id = excluded.id, asked_at = excluded.asked_at, done_at = NULL,
    kind = CASE WHEN o.done_at IS NULL AND o.kind = 'apply' THEN 'apply' ELSE excluded.kind END
RETURNING switch;

-- name: notify
SELECT pg_notify('carriers', '');

-- name: order_of
SELECT o.switch, o.id, o.kind, o.asked_at, o.done_at, o.findings FROM carrier_orders o
WHERE o.switch = %(switch)s AND o.done_at IS NULL;

-- name: orders
SELECT o.switch, o.id, o.kind, o.asked_at, o.done_at, o.findings FROM carrier_orders o ORDER BY o.switch;

-- name: done
UPDATE carrier_orders SET done_at = %(now)s, findings = %(findings)s WHERE switch = %(switch)s AND id = %(id)s;

-- name: look
-- What was seen without having been asked.
INSERT INTO carrier_orders AS o (switch, id, kind, asked_at, done_at, findings)
VALUES (%(switch)s, %(id)s, 'look', %(now)s, %(now)s, %(findings)s)
ON CONFLICT (switch) DO UPDATE SET done_at = excluded.done_at, findings = excluded.findings WHERE o.done_at IS NOT NULL;
