-- name: insert
INSERT INTO outbox (id, tenant_id, call_id, sequence, type, body, url, next_at, created_at)
SELECT id, tenant_id, call_id, sequence, type, body, url, next_at, created_at
FROM jsonb_populate_recordset(NULL::outbox, %(rows)s);

-- name: notify
SELECT pg_notify('outbox', '');
