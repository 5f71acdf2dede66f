-- name: create
INSERT INTO tenants AS t (id, name, webhook_url, webhook_secret, weight)
VALUES (%(id)s, %(name)s, %(webhook_url)s, %(webhook_secret)s, %(weight)s)
RETURNING {tenant};

-- name: get
SELECT {tenant} FROM tenants t WHERE t.id = %(id)s;

-- name: get_by_name
SELECT {tenant} FROM tenants t WHERE t.name = %(name)s;

-- name: list
SELECT {tenant} FROM tenants t ORDER BY t.name;

-- name: update
-- Only what is named: what is not in the changes keeps the row's own value.
UPDATE tenants t SET (weight, webhook_url, max_queued, requests_per_s, paused, recording, recording_allowed, recording_notice,
                      recording_days) = (
    SELECT n.weight, n.webhook_url, n.max_queued, n.requests_per_s, n.paused, n.recording, n.recording_allowed,
           n.recording_notice, n.recording_days
    FROM jsonb_populate_record(t, %(changes)s) n)
WHERE t.name = %(name)s
RETURNING {tenant};

-- name: cancel_queued
-- At least as late as the newest call accepted, which may be a little ahead when it came by a host whose clock is.
UPDATE tenants t SET canceled_before = greatest(t.canceled_before, %(now)s, (
    SELECT c.created_at FROM calls c WHERE c.tenant_id = t.id ORDER BY c.id DESC LIMIT 1))
WHERE t.id = %(id)s
RETURNING t.canceled_before;

-- name: set_paused
UPDATE tenants SET paused = %(paused)s WHERE id = %(id)s;

-- name: set_webhook_url
UPDATE tenants SET webhook_url = %(webhook_url)s WHERE id = %(id)s;
