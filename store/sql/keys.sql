-- part: key
k.id, k.tenant_id, k.prefix, k.name, k.expires_at, k.revoked_at, k.last_used_at, k.created_at

-- name: create
INSERT INTO api_keys AS k (id, tenant_id, prefix, secret_hash, name, expires_at)
VALUES (%(id)s, %(tenant_id)s, %(prefix)s, %(secret_hash)s, %(name)s, %(expires_at)s)
RETURNING {key};

-- name: find
SELECT {tenant}, k.secret_hash,
       k.last_used_at IS NULL OR k.last_used_at < %(now)s::timestamptz - interval '1 minute' AS stale
FROM api_keys k JOIN tenants t ON t.id = k.tenant_id
WHERE k.prefix = %(prefix)s
  AND (k.revoked_at IS NULL OR k.revoked_at > %(now)s)
  AND (k.expires_at IS NULL OR k.expires_at > %(now)s);

-- name: used
-- Never waits: whoever holds the row is writing the same minute.
UPDATE api_keys SET last_used_at = %(now)s
WHERE prefix = (SELECT prefix FROM api_keys WHERE prefix = %(prefix)s FOR NO KEY UPDATE SKIP LOCKED);

-- name: list
SELECT {key} FROM api_keys k WHERE k.tenant_id = %(tenant_id)s ORDER BY k.id;

-- name: revoke
UPDATE api_keys SET revoked_at = %(now)s WHERE prefix = %(prefix)s AND revoked_at IS NULL;
