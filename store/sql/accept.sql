-- name: take_keys
-- Each one's lock until the transaction ends, in their order; false: another holds it.
SELECT pg_try_advisory_xact_lock(hashtextextended(u.key, hashtextextended(%(tenant_id)s::uuid::text, 0)))
FROM unnest(%(keys)s::text[]) WITH ORDINALITY AS u(key, position) ORDER BY u.position;

-- name: find_keys
-- What was answered under them, each since its moment, and which attempt is the call's latest.
SELECT k.key, k.fingerprint, k.response, (SELECT a.id FROM attempts a WHERE a.call_id = k.call_id ORDER BY a.number DESC LIMIT 1),
       {call}
FROM unnest(%(keys)s::text[], %(since)s::timestamptz[]) AS u(key, since)
JOIN idempotency_keys k ON k.tenant_id = %(tenant_id)s AND k.key = u.key AND k.created_at > u.since
JOIN calls c ON c.tenant_id = k.tenant_id AND c.id = k.call_id;

-- name: remember_key
-- The key's own lock is held: a row in the way can only be one that is too old to count.
INSERT INTO idempotency_keys (tenant_id, key, fingerprint, call_id, response, created_at)
VALUES (%(tenant_id)s, %(key)s, %(fingerprint)s, %(call_id)s, %(response)s, %(now)s)
ON CONFLICT (tenant_id, key) DO UPDATE SET
    fingerprint = excluded.fingerprint, call_id = excluded.call_id, response = excluded.response,
    created_at = excluded.created_at;

-- name: find_calls
-- Those of a try before this one, which was committed though its connection was lost.
SELECT {call} FROM calls c WHERE c.tenant_id = %(tenant_id)s AND c.id = ANY(%(ids)s);

-- name: context
-- The lock is free but while a batch of the tenant's may fill its queue up (store/batches.py).
SELECT coalesce(t.webhook_url, t.webhook_also), statement_timestamp(), t.canceled_before,
       pg_try_advisory_xact_lock_shared(hashtextextended('queue batch', hashtextextended(t.id::text, 0)))
FROM tenants t WHERE t.id = %(tenant_id)s;

-- name: insert_calls
-- Of a batch, or (batch_id NULL) of calls that came one by one. No COPY: row level security forbids it.
INSERT INTO calls (id, tenant_id, agent_id, to_number, from_number, priority, route, lane, status, status_at,
    max_attempts, ring_timeout_s, max_duration_s, due_at, expires_at, metadata, agent_variables, client_reference,
    webhook_url, sequence, created_at, retry, dial_window, recording, recipient, consent, webhook, test, batch_id)
SELECT id, tenant_id, agent_id, to_number, from_number, priority, route, lane, status, status_at,
    max_attempts, ring_timeout_s, max_duration_s, due_at, expires_at, metadata, agent_variables, client_reference,
    webhook_url, sequence, created_at, retry, dial_window, recording, recipient, consent, webhook, test, batch_id
FROM jsonb_populate_recordset(NULL::calls, %(rows)s);

-- name: insert_attempts
-- What looks up each row's call (foreign keys, is_foreign_call, count_queued_together) is planned after this, when the rows are in,
-- and those without parameters of their own are planned once per connection: while `calls` is known to be small, as a walk through
-- all of it, which each row would then make. From the first row on, until the transaction ends, no walk is planned; nor compiled,
-- where there is nothing else.
WITH rows AS MATERIALIZED (
    SELECT id, call_id, number, lane, due_at, created_at, dial_until, decision FROM jsonb_populate_recordset(NULL::attempts, %(rows)s)
    WHERE set_config('enable_seqscan', 'off', true) = 'off' AND set_config('jit', 'off', true) = 'off'
), made AS (
    INSERT INTO attempts (id, call_id, number, lane, due_at, created_at, dial_until, decision) SELECT * FROM rows
)
INSERT INTO call_events (call_id, attempt_id, dedupe, source, type, at)
SELECT call_id, id, 'queued', 'api', 'call.queued', created_at FROM rows;
