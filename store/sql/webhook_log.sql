-- part: row
d.id, d.event_id, d.endpoint_id, coalesce(d.url, e.url) AS url, d.call_id, d.sequence, d.type, d.status, d.tries, d.replays,
d.next_at, d.ended_at, d.last_code, d.last_error, d.attempts, d.created_at

-- part: has_body
(d.body IS NOT NULL OR EXISTS (SELECT FROM outbox o WHERE o.id = d.event_id))

-- part: page
  AND (%(status)s::text IS NULL OR d.status = %(status)s) AND (%(before)s::uuid IS NULL OR d.id < %(before)s)
ORDER BY d.id DESC LIMIT %(limit)s

-- name: get
SELECT {row} FROM webhook_deliveries d LEFT JOIN webhook_endpoints e ON e.id = d.endpoint_id
WHERE d.id = %(id)s AND d.tenant_id = %(tenant_id)s;

-- name: told_of
SELECT {has_body} FROM webhook_deliveries d WHERE d.id = %(id)s AND d.tenant_id = %(tenant_id)s;

-- name: of_tenant
SELECT {row} FROM webhook_deliveries d LEFT JOIN webhook_endpoints e ON e.id = d.endpoint_id
WHERE d.tenant_id = %(tenant_id)s
{page};

-- name: of_endpoint
SELECT {row} FROM webhook_deliveries d LEFT JOIN webhook_endpoints e ON e.id = d.endpoint_id
WHERE d.tenant_id = %(tenant_id)s AND d.endpoint_id = %(endpoint_id)s AND (%(call_id)s::uuid IS NULL OR d.call_id = %(call_id)s)
{page};

-- name: of_call
SELECT {row} FROM webhook_deliveries d LEFT JOIN webhook_endpoints e ON e.id = d.endpoint_id
WHERE d.tenant_id = %(tenant_id)s AND d.call_id = %(call_id)s
{page};

-- name: replay
-- What is over is told once more, under its old webhook-id; what is under way, leads to nobody or has no body any more, is not.
UPDATE webhook_deliveries d SET status = 'pending', tries = 0, replays = d.replays + 1, since = %(now)s, next_at = %(now)s,
    ended_at = NULL
WHERE d.id = %(id)s AND d.tenant_id = %(tenant_id)s AND d.status IN ('delivered', 'failed', 'skipped')
  AND {has_body}
  AND (d.endpoint_id IS NULL OR EXISTS (
      SELECT FROM webhook_endpoints e WHERE e.id = d.endpoint_id AND e.url IS NOT NULL AND e.disabled_at IS NULL AND e.deleted_at IS NULL))
RETURNING d.id;

-- name: replay_range
WITH wanted AS MATERIALIZED (
    SELECT d.id, d.created_at FROM webhook_deliveries d
    WHERE d.endpoint_id = %(endpoint_id)s AND d.tenant_id = %(tenant_id)s AND d.id >= %(first)s AND d.id < %(last)s
      AND d.created_at >= %(since)s AND d.created_at < %(until)s
      AND d.status = ANY(%(statuses)s) AND (%(types)s::text[] IS NULL OR d.type = ANY(%(types)s)) AND {has_body}
    ORDER BY d.id LIMIT %(limit)s + 1 FOR NO KEY UPDATE
), done AS (
    UPDATE webhook_deliveries d SET status = 'pending', tries = 0, replays = d.replays + 1, since = %(now)s, next_at = %(now)s,
        ended_at = NULL
    FROM (SELECT id FROM wanted ORDER BY id LIMIT %(limit)s) w WHERE d.id = w.id
    RETURNING d.id
)
SELECT (SELECT count(*) FROM done), (SELECT created_at FROM wanted ORDER BY id OFFSET %(limit)s LIMIT 1);
