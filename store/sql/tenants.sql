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

-- name: set_paused
UPDATE tenants SET paused = %(paused)s WHERE id = %(id)s;

-- name: set_webhook_url
UPDATE tenants SET webhook_url = %(webhook_url)s WHERE id = %(id)s;
