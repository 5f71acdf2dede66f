-- part: key
k.id, k.prefix, k.name, k.allowed_ips, k.expires_at, k.revoked_at, k.last_used_at, k.created_at

-- part: active
((k.revoked_at IS NULL OR k.revoked_at > coalesce(%(now)s::timestamptz, now()))
 AND (k.expires_at IS NULL OR k.expires_at > coalesce(%(now)s::timestamptz, now())))

-- name: create
INSERT INTO operator_keys AS k (id, prefix, secret_hash, name, allowed_ips, expires_at)
VALUES (%(id)s, %(prefix)s, %(secret_hash)s, %(name)s, %(allowed_ips)s::text[]::cidr[], %(expires_at)s)
RETURNING {key};

-- name: find
SELECT {key}, k.secret_hash, k.last_used_at IS NULL OR k.last_used_at < %(now)s::timestamptz - interval '1 minute' AS stale
FROM operator_keys k WHERE k.prefix = %(prefix)s AND {active};

-- name: used
-- Never waits: whoever holds the row is writing the same minute.
UPDATE operator_keys SET last_used_at = %(now)s
WHERE prefix = (SELECT prefix FROM operator_keys WHERE prefix = %(prefix)s FOR NO KEY UPDATE SKIP LOCKED);

-- name: list
SELECT {key} FROM operator_keys k ORDER BY k.id;

-- name: revoke
UPDATE operator_keys SET revoked_at = %(now)s WHERE prefix = %(prefix)s AND revoked_at IS NULL;
