-- name: try_key
SELECT pg_try_advisory_xact_lock(hashtextextended(%(key)s, hashtextextended(%(tenant_id)s::uuid::text, 0)));

-- name: find_key
SELECT fingerprint, call_id, response FROM idempotency_keys
WHERE tenant_id = %(tenant_id)s AND key = %(key)s AND created_at > %(since)s;

-- name: remember_key
-- The key's own lock is held: a row in the way can only be one that is too old to count.
INSERT INTO idempotency_keys (tenant_id, key, fingerprint, call_id, response, created_at)
VALUES (%(tenant_id)s, %(key)s, %(fingerprint)s, %(call_id)s, %(response)s, %(now)s)
ON CONFLICT (tenant_id, key) DO UPDATE SET
    fingerprint = excluded.fingerprint, call_id = excluded.call_id, response = excluded.response,
    created_at = excluded.created_at;

-- name: forget_keys
-- Asked again outside: a key that is given a new meaning just now is as young as its meaning.
DELETE FROM idempotency_keys WHERE created_at < %(before)s AND (tenant_id, key) IN (
    SELECT tenant_id, key FROM idempotency_keys WHERE created_at < %(before)s
    ORDER BY created_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED);

-- name: context
-- The lock is free but while a batch of the tenant's may fill its queue up (store/batches.py).
SELECT coalesce(t.webhook_url, t.webhook_also),
       (SELECT g.paused FROM agents g WHERE g.id = %(agent_id)s AND g.tenant_id = t.id AND g.archived_at IS NULL),
       statement_timestamp(), t.canceled_before,
       pg_try_advisory_xact_lock_shared(hashtextextended('queue batch', hashtextextended(t.id::text, 0)))
FROM tenants t WHERE t.id = %(tenant_id)s;

-- name: accept
WITH new_call AS (
    INSERT INTO calls (id, tenant_id, agent_id, to_number, from_number, priority, route, lane, status, status_at,
        max_attempts, ring_timeout_s, max_duration_s, due_at, expires_at, metadata, agent_variables, client_reference,
        webhook_url, sequence, created_at, retry, dial_window, recording, recipient, consent, webhook, test)
    VALUES (%(id)s, %(tenant_id)s, %(agent_id)s, %(to_number)s, %(from_number)s, %(priority)s, %(route)s, %(lane)s,
        %(status)s, %(status_at)s, %(max_attempts)s, %(ring_timeout_s)s, %(max_duration_s)s, %(due_at)s, %(expires_at)s,
        %(metadata)s, %(agent_variables)s, %(client_reference)s, %(webhook_url)s, %(sequence)s, %(created_at)s,
        %(retry)s, %(dial_window)s, %(recording)s, %(recipient)s, %(consent)s, %(webhook)s, %(test)s)
), new_attempt AS (
    INSERT INTO attempts (id, call_id, number, lane, due_at, created_at, dial_until, decision)
    VALUES (%(attempt_id)s, %(id)s, 1, %(lane)s, %(due_at)s, %(created_at)s, %(dial_until)s, %(decision)s)
)
INSERT INTO call_events (call_id, attempt_id, dedupe, source, type, at)
VALUES (%(id)s, %(attempt_id)s, 'queued', 'api', 'call.queued', %(created_at)s);

-- name: get
SELECT {call} FROM calls c WHERE c.tenant_id = %(tenant_id)s AND c.id = %(id)s;

-- name: is_test
SELECT c.test FROM calls c WHERE c.tenant_id = %(tenant_id)s AND c.id = %(id)s;

-- name: latest_attempt
SELECT id FROM attempts WHERE call_id = %(call_id)s ORDER BY number DESC LIMIT 1;

-- name: list_events
SELECT e.id, e.call_id, e.attempt_id, e.source, e.type, e.at, e.data, e.recorded_at
FROM call_events e JOIN calls c ON c.id = e.call_id
WHERE c.tenant_id = %(tenant_id)s AND c.id = %(id)s ORDER BY e.id;

-- name: list_attempts
SELECT {attempt} FROM attempts a JOIN calls c ON c.id = a.call_id
WHERE c.tenant_id = %(tenant_id)s AND c.id = %(id)s ORDER BY a.number;
