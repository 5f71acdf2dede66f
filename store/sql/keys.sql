-- part: key
k.id, k.tenant_id, k.prefix, k.name, k.scopes, k.mode, k.allowed_ips, coalesce(k.line, k.id) AS line, k.expires_at,
k.revoked_at, k.last_used_at, k.created_at

-- part: active
((k.revoked_at IS NULL OR k.revoked_at > coalesce(%(now)s::timestamptz, now()))
 AND (k.expires_at IS NULL OR k.expires_at > coalesce(%(now)s::timestamptz, now())))

-- name: create
INSERT INTO api_keys AS k (id, tenant_id, prefix, secret_hash, name, scopes, mode, allowed_ips, line, expires_at, created_at)
VALUES (%(id)s, %(tenant_id)s, %(prefix)s, %(secret_hash)s, %(name)s, %(scopes)s, %(mode)s, %(allowed_ips)s::text[]::cidr[],
        %(line)s, %(expires_at)s, coalesce(%(now)s::timestamptz, now()))
RETURNING {key};

-- name: lock_tenant
-- Whoever changes the keys of one tenant takes turns; calls and requests go on.
SELECT id FROM tenants WHERE id = %(tenant_id)s FOR NO KEY UPDATE;

-- name: active
-- How many keys are in force, of them of this name, of them of this line.
SELECT count(*), count(*) FILTER (WHERE k.name = %(name)s), count(*) FILTER (WHERE coalesce(k.line, k.id) = %(line)s)
FROM api_keys k WHERE k.tenant_id = %(tenant_id)s AND {active};

-- name: find
SELECT {tenant}, k.secret_hash, k.id AS key_id, k.prefix AS key_prefix, k.name AS key_name, k.scopes AS key_scopes,
       k.mode AS key_mode, k.allowed_ips AS key_allowed_ips, k.expires_at AS key_expires_at,
       k.last_used_at IS NULL OR k.last_used_at < %(now)s::timestamptz - interval '1 minute' AS stale
FROM api_keys k JOIN tenants t ON t.id = k.tenant_id
WHERE k.prefix = %(prefix)s AND k.mode = %(mode)s AND {active};

-- name: used
-- Never waits: whoever holds the row is writing the same minute.
UPDATE api_keys SET last_used_at = %(now)s
WHERE prefix = (SELECT prefix FROM api_keys WHERE prefix = %(prefix)s FOR NO KEY UPDATE SKIP LOCKED);

-- name: get
SELECT {key} FROM api_keys k WHERE k.tenant_id = %(tenant_id)s AND k.id = %(id)s;

-- name: list
SELECT {key} FROM api_keys k WHERE k.tenant_id = %(tenant_id)s ORDER BY k.id;

-- name: page
SELECT {key} FROM api_keys k
WHERE k.tenant_id = %(tenant_id)s AND (%(before)s::uuid IS NULL OR k.id < %(before)s::uuid)
ORDER BY k.id DESC LIMIT %(limit)s;

-- name: shorten
-- An end that is nearer already stays.
UPDATE api_keys k SET expires_at = least(k.expires_at, %(expires_at)s::timestamptz)
WHERE k.tenant_id = %(tenant_id)s AND k.id = %(id)s
RETURNING {key};

-- name: revoke
UPDATE api_keys SET revoked_at = %(now)s WHERE prefix = %(prefix)s AND revoked_at IS NULL;

-- name: revoke_own
-- Once revoked it stays revoked since then.
UPDATE api_keys k SET revoked_at = least(k.revoked_at, %(now)s::timestamptz)
WHERE k.tenant_id = %(tenant_id)s AND k.id = %(id)s
RETURNING {key};
