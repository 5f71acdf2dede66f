-- part: batch
b.id, b.tenant_id, b.accepted, b.refused, b.created_at, b.canceled_at

-- name: enter
-- Alone for a moment: whoever accepts a single call of the tenant holds this lock shared until its end (calls.sql, "context").
SELECT pg_advisory_xact_lock(hashtextextended('queue batch', hashtextextended(%(tenant_id)s::uuid::text, 0)));

-- name: enter_beside
-- Beside the others: waits only for a batch that may fill the queue up.
SELECT pg_advisory_xact_lock_shared(hashtextextended('queue batch', hashtextextended(%(tenant_id)s::uuid::text, 0)));

-- name: context
SELECT coalesce(t.webhook_url, t.webhook_also), statement_timestamp(), t.canceled_before FROM tenants t WHERE t.id = %(tenant_id)s;

-- name: agents
SELECT g.id, g.paused FROM agents g WHERE g.tenant_id = %(tenant_id)s AND g.id = ANY(%(ids)s);

-- name: create
INSERT INTO batches (id, tenant_id, accepted, refused, created_at)
VALUES (%(id)s, %(tenant_id)s, %(accepted)s, %(refused)s, %(created_at)s);

-- name: get
SELECT {batch} FROM batches b WHERE b.tenant_id = %(tenant_id)s AND b.id = %(id)s;

-- name: list
SELECT {batch} FROM batches b
WHERE b.tenant_id = %(tenant_id)s
  AND b.id < coalesce(%(before)s::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
ORDER BY b.id DESC LIMIT %(limit)s;

-- name: counts
SELECT CASE WHEN c.status = 'ringing' AND c.early THEN 'early' ELSE c.status END, c.end_reason, count(*)
FROM calls c WHERE c.batch_id = %(id)s AND c.tenant_id = %(tenant_id)s GROUP BY 1, 2;

-- name: cancel
UPDATE batches b SET canceled_at = coalesce(b.canceled_at, %(now)s), canceling = b.canceling OR b.canceled_at IS NULL
WHERE b.tenant_id = %(tenant_id)s AND b.id = %(id)s
RETURNING {batch};

-- name: list_condemned
-- Of each batch that was canceled, alike of all that have any, so that none waits for another's. Calls of it that are being
-- talked on are passed over, not counted.
WITH canceling AS MATERIALIZED (
    SELECT b.id, greatest(1, %(limit)s / count(*) OVER ()) AS share FROM batches b WHERE b.canceling
)
SELECT d.id
FROM canceling m
CROSS JOIN LATERAL (
    SELECT a.id FROM calls c
    CROSS JOIN LATERAL (SELECT q.id FROM attempts q WHERE q.call_id = c.id AND q.state = 'queued' OFFSET 0) a
    WHERE c.batch_id = m.id AND NOT c.ended
    ORDER BY c.batch_id, c.id DESC LIMIT m.share
) d
LIMIT %(limit)s;

-- name: settle
-- Nothing of it can be dialed or retried any more: nobody looks at it again.
UPDATE batches b SET canceling = false
WHERE b.canceling AND NOT EXISTS (SELECT FROM calls c WHERE c.batch_id = b.id AND NOT c.ended);
