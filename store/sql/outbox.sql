-- name: insert
INSERT INTO outbox (id, tenant_id, call_id, sequence, type, body, url, next_at, created_at)
SELECT id, tenant_id, call_id, sequence, type, body, url, next_at, created_at
FROM jsonb_populate_recordset(NULL::outbox, %(rows)s);

-- name: notify
SELECT pg_notify('outbox', '');

-- name: claim_due
WITH due AS (
    SELECT id FROM outbox
    WHERE delivered_at IS NULL AND failed_at IS NULL AND next_at <= %(now)s
    ORDER BY next_at LIMIT %(limit)s
    FOR NO KEY UPDATE SKIP LOCKED
), claimed AS (
    UPDATE outbox o SET next_at = %(until)s, tries = o.tries + 1
    FROM due WHERE o.id = due.id
    RETURNING o.id, o.tenant_id, o.call_id, o.sequence, o.type, o.body, o.url, o.tries, o.created_at
)
SELECT claimed.*, t.webhook_secret FROM claimed JOIN tenants t ON t.id = claimed.tenant_id
ORDER BY claimed.call_id, claimed.sequence;

-- name: delivered
UPDATE outbox SET delivered_at = %(now)s, last_code = %(code)s, last_error = NULL
WHERE id = %(id)s AND delivered_at IS NULL;

-- name: retry_later
-- A webhook that another dispatcher has delivered meanwhile stays delivered.
UPDATE outbox SET next_at = %(next_at)s, last_code = %(code)s, last_error = %(error)s
WHERE id = %(id)s AND delivered_at IS NULL AND failed_at IS NULL;

-- name: hand_back
UPDATE outbox SET next_at = %(next_at)s, tries = greatest(tries - 1, 0), last_error = %(reason)s
WHERE id = %(id)s AND delivered_at IS NULL AND failed_at IS NULL;

-- name: give_up
UPDATE outbox SET failed_at = %(now)s, last_code = %(code)s, last_error = %(error)s
WHERE id = %(id)s AND delivered_at IS NULL AND failed_at IS NULL;

-- name: backlog
SELECT count(*) FROM outbox WHERE delivered_at IS NULL AND failed_at IS NULL;
