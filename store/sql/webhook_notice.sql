-- name: disabled
SELECT tenant_id, url, disabled_reason, failing_since FROM webhook_endpoints WHERE id = %(id)s;

-- name: tell_others
-- All that ask for it, but for the one that it is about, if it is about one.
INSERT INTO webhook_deliveries (id, tenant_id, event_id, endpoint_id, type, lane, body, status, since, next_at, created_at)
SELECT uuid7_at(%(now)s), e.tenant_id, %(event_id)s, e.id, %(type)s, 1, %(body)s,
       CASE WHEN e.listens_until IS NULL THEN 'pending' ELSE 'listening' END, %(now)s, %(now)s, %(now)s
FROM webhook_endpoints e
WHERE e.tenant_id = %(tenant_id)s AND e.id IS DISTINCT FROM %(id)s::uuid AND e.deleted_at IS NULL AND e.disabled_at IS NULL
  AND (e.listens_until IS NULL OR e.listens_until > %(now)s) AND e.events && ARRAY[%(type)s::text, '*'];

-- name: test
INSERT INTO webhook_deliveries (id, tenant_id, event_id, endpoint_id, type, lane, body, status, since, next_at, created_at)
VALUES (uuid7_at(%(now)s), %(tenant_id)s, %(event_id)s, %(id)s, %(type)s, 0, %(body)s, 'pending', %(now)s, %(now)s, %(now)s)
RETURNING id;
