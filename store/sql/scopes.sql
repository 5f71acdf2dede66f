-- part: scope
s.scope, s.max_channels, s.cps::float8 AS cps, s.window_ms, s.weight, s.paused

-- name: put
INSERT INTO scopes AS s (scope, max_channels, cps, window_ms, weight, paused)
VALUES (%(scope)s, %(max_channels)s, %(cps)s::float8, %(window_ms)s, %(weight)s, %(paused)s)
ON CONFLICT (scope) DO UPDATE SET
    max_channels = excluded.max_channels, cps = excluded.cps, window_ms = excluded.window_ms, weight = excluded.weight,
    paused = excluded.paused
RETURNING {scope};

-- name: ensure
INSERT INTO scopes (scope) VALUES (%(scope)s) ON CONFLICT (scope) DO NOTHING;

-- name: update
-- Only what is named: what is not in the changes keeps the row's own value.
UPDATE scopes s SET (max_channels, cps, window_ms, weight, paused) = (
    SELECT n.max_channels, n.cps, n.window_ms, n.weight, n.paused FROM jsonb_populate_record(s, %(changes)s) n)
WHERE s.scope = %(scope)s
RETURNING {scope};

-- name: list
SELECT {scope} FROM scopes s ORDER BY s.scope;

-- name: get
SELECT {scope} FROM scopes s WHERE s.scope = ANY(%(scopes)s) ORDER BY s.scope;

-- name: of_tenant
SELECT {scope} FROM scopes s
WHERE s.scope = %(tenant)s OR s.scope LIKE %(campaigns)s
ORDER BY s.scope;

-- name: remove
DELETE FROM scopes WHERE scope = %(scope)s;
