-- part: endpoint
e.id, e.account, e.url, e.events, e.description, e.failing_since, e.disabled_at, e.disabled_reason, e.created_at,
CASE WHEN e.account THEN t.webhook_old_until ELSE e.old_until END AS old_until

-- name: mark
-- While there is any beside the account's own, events are written. It locks the tenant, so that counting is right.
UPDATE tenants SET webhook_also = 'endpoints:' WHERE id = %(tenant_id)s;

-- name: lock
-- Before unmark, in a statement of its own: unmark's test sees only what was committed before it began, and an endpoint that is
-- being made comes with the tenant's lock (mark).
SELECT FROM tenants WHERE id = ANY(%(tenants)s) ORDER BY id FOR NO KEY UPDATE;

-- name: unmark
UPDATE tenants t SET webhook_also = NULL
WHERE t.id = ANY(%(tenants)s) AND NOT EXISTS (
    SELECT FROM webhook_endpoints e WHERE e.tenant_id = t.id AND NOT e.account AND e.deleted_at IS NULL);

-- name: create
INSERT INTO webhook_endpoints (id, tenant_id, url, events, description, secret, created_at, listens_until)
SELECT %(id)s, %(tenant_id)s, %(url)s, %(events)s, %(description)s, %(secret)s, %(now)s, %(listens_until)s
WHERE (SELECT count(*) FROM webhook_endpoints e
       WHERE e.tenant_id = %(tenant_id)s AND e.deleted_at IS NULL AND (e.url IS NULL) = (%(url)s::text IS NULL)) < %(most)s
RETURNING id;

-- name: get
SELECT {endpoint} FROM webhook_endpoints e JOIN tenants t ON t.id = e.tenant_id
WHERE e.tenant_id = %(tenant_id)s AND e.id = %(id)s AND e.deleted_at IS NULL AND e.url IS NOT NULL;

-- name: list
SELECT {endpoint} FROM webhook_endpoints e JOIN tenants t ON t.id = e.tenant_id
WHERE e.tenant_id = %(tenant_id)s AND e.deleted_at IS NULL AND e.url IS NOT NULL
  AND (%(before)s::uuid IS NULL OR e.id < %(before)s)
ORDER BY e.id DESC LIMIT %(limit)s;

-- name: update
-- Only what is named. Another address, or being enabled, makes a new start.
UPDATE webhook_endpoints e SET url = n.url, events = n.events, description = n.description,
    failing_since = CASE WHEN n.url <> e.url OR %(enabled)s::boolean THEN NULL ELSE e.failing_since END,
    disabled_at = CASE WHEN %(enabled)s::boolean THEN NULL WHEN NOT %(enabled)s::boolean THEN coalesce(e.disabled_at, %(now)s) ELSE e.disabled_at END,
    disabled_reason = CASE WHEN %(enabled)s::boolean THEN NULL WHEN NOT %(enabled)s::boolean THEN coalesce(e.disabled_reason, 'customer')
                           ELSE e.disabled_reason END
FROM webhook_endpoints old, jsonb_populate_record(old, %(changes)s) n
WHERE e.tenant_id = %(tenant_id)s AND e.id = %(id)s AND e.deleted_at IS NULL AND e.url IS NOT NULL AND old.id = e.id
RETURNING e.id;

-- name: set_account_url
UPDATE tenants t SET webhook_url = %(url)s
WHERE t.id = %(tenant_id)s
  AND EXISTS (SELECT FROM webhook_endpoints e WHERE e.id = %(id)s AND e.tenant_id = t.id AND e.account AND e.deleted_at IS NULL);

-- name: delete
UPDATE webhook_endpoints SET deleted_at = %(now)s
WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND deleted_at IS NULL AND (url IS NULL) = %(listener)s;

-- name: rotate
UPDATE webhook_endpoints SET old_secret = secret, old_until = %(until)s, secret = %(secret)s
WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND deleted_at IS NULL AND url IS NOT NULL AND NOT account;

-- name: rotate_account
UPDATE tenants SET webhook_old_secret = webhook_secret, webhook_old_until = %(until)s, webhook_secret = %(secret)s
WHERE id = %(tenant_id)s;

-- name: close_listeners
UPDATE webhook_endpoints SET deleted_at = %(now)s
WHERE id IN (SELECT id FROM webhook_endpoints WHERE listens_until < %(now)s AND deleted_at IS NULL FOR NO KEY UPDATE SKIP LOCKED)
RETURNING tenant_id, id;

-- name: pass_over
-- What waited for listeners that are gone.
UPDATE webhook_deliveries SET status = 'skipped', ended_at = %(now)s
WHERE endpoint_id = ANY(%(listeners)s) AND status = 'listening';

-- name: hear
-- It goes on listening.
UPDATE webhook_endpoints SET listens_until = %(until)s
WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND deleted_at IS NULL AND listens_until > %(now)s
RETURNING secret;

-- name: look
-- The same, of one that has said so a moment ago.
SELECT secret FROM webhook_endpoints
WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND deleted_at IS NULL AND listens_until > %(now)s;

-- name: heard
-- What came of those that were fetched.
UPDATE webhook_deliveries d SET status = CASE WHEN n.code BETWEEN 200 AND 299 THEN 'delivered' ELSE 'failed' END,
    ended_at = %(now)s, tries = 1, last_code = n.code, last_error = n.error,
    attempts = jsonb_build_array(jsonb_build_object('at', %(now)s::timestamptz, 'code', n.code, 'error', n.error,
                                                    'latency_ms', NULL, 'reply', NULL, 'replay', false))
FROM jsonb_to_recordset(%(heard)s) AS n(id uuid, code integer, error text)
WHERE d.id = n.id AND d.endpoint_id = %(id)s AND d.status = 'listening';

-- name: waiting
SELECT d.id, d.event_id, coalesce(d.body, o.body) AS body
FROM webhook_deliveries d LEFT JOIN outbox o ON o.id = d.event_id
WHERE d.endpoint_id = %(id)s AND d.status = 'listening' AND coalesce(d.body, o.body) IS NOT NULL
ORDER BY d.id LIMIT %(limit)s;
