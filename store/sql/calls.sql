-- name: forget_keys
-- Asked again outside: a key that is given a new meaning just now is as young as its meaning.
DELETE FROM idempotency_keys WHERE created_at < %(before)s AND (tenant_id, key) IN (
    SELECT tenant_id, key FROM idempotency_keys WHERE created_at < %(before)s
    ORDER BY created_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED);

-- name: get
SELECT {call} FROM calls c WHERE c.tenant_id = %(tenant_id)s AND c.id = %(id)s;

-- name: is_test
SELECT c.test FROM calls c WHERE c.tenant_id = %(tenant_id)s AND c.id = %(id)s;

-- name: list_events
SELECT e.id, e.call_id, e.attempt_id, e.source, e.type, e.at, e.data, e.recorded_at
FROM call_events e JOIN calls c ON c.id = e.call_id
WHERE c.tenant_id = %(tenant_id)s AND c.id = %(id)s ORDER BY e.id;

-- name: list_attempts
SELECT {attempt} FROM attempts a JOIN calls c ON c.id = a.call_id
WHERE c.tenant_id = %(tenant_id)s AND c.id = %(id)s ORDER BY a.number;
