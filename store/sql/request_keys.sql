-- name: try
SELECT pg_try_advisory_xact_lock(hashtextextended(%(key)s, hashtextextended(%(scope)s || %(owner)s::uuid::text, 0)));

-- name: find
SELECT fingerprint, status, location, body FROM request_keys
WHERE tenant_id = %(owner)s AND scope = %(scope)s AND key = %(key)s AND created_at > %(since)s;

-- name: remember
-- The key's own lock is held: a row in the way can only be one that is too old to count.
INSERT INTO request_keys (tenant_id, scope, key, fingerprint, status, location, body, created_at)
VALUES (%(owner)s, %(scope)s, %(key)s, %(fingerprint)s, %(status)s, %(location)s, %(body)s, %(now)s)
ON CONFLICT (tenant_id, scope, key) DO UPDATE SET
    fingerprint = excluded.fingerprint, status = excluded.status, location = excluded.location, body = excluded.body,
    created_at = excluded.created_at;

-- name: forget
-- Asked again outside: a key that is given a new meaning just now is as young as its meaning.
DELETE FROM request_keys WHERE created_at < %(before)s AND (tenant_id, scope, key) IN (
    SELECT tenant_id, scope, key FROM request_keys WHERE created_at < %(before)s
    ORDER BY created_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED);

-- name: operator_try
SELECT pg_try_advisory_xact_lock(hashtextextended(%(key)s, hashtextextended(%(scope)s || ' operator ' || %(owner)s::text, 0)));

-- name: operator_find
SELECT fingerprint, status, location, body FROM operator_request_keys
WHERE operator = %(owner)s AND scope = %(scope)s AND key = %(key)s AND created_at > %(since)s;

-- name: operator_remember
INSERT INTO operator_request_keys (operator, scope, key, fingerprint, status, location, body, created_at)
VALUES (%(owner)s, %(scope)s, %(key)s, %(fingerprint)s, %(status)s, %(location)s, %(body)s, %(now)s)
ON CONFLICT (operator, scope, key) DO UPDATE SET
    fingerprint = excluded.fingerprint, status = excluded.status, location = excluded.location, body = excluded.body,
    created_at = excluded.created_at;

-- name: operator_forget
DELETE FROM operator_request_keys WHERE created_at < %(before)s AND (operator, scope, key) IN (
    SELECT operator, scope, key FROM operator_request_keys WHERE created_at < %(before)s
    ORDER BY created_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED);
