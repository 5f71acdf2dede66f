-- part: agent
g.id, g.tenant_id, g.name, g.kind, g.url, g.audio, g.paused, g.created_at

-- name: create
INSERT INTO agents AS g (id, tenant_id, name, kind, url, audio)
VALUES (%(id)s, %(tenant_id)s, %(name)s, %(kind)s, %(url)s, %(audio)s)
RETURNING {agent};

-- name: get
SELECT {agent} FROM agents g WHERE g.tenant_id = %(tenant_id)s AND g.id = %(id)s;

-- name: get_several
SELECT {agent} FROM agents g WHERE g.tenant_id = %(tenant_id)s AND g.id = ANY(%(ids)s);

-- name: get_by_name
SELECT {agent} FROM agents g WHERE g.tenant_id = %(tenant_id)s AND g.name = %(name)s;

-- name: list
SELECT {agent} FROM agents g WHERE g.tenant_id = %(tenant_id)s ORDER BY g.name;

-- name: set_paused
UPDATE agents SET paused = %(paused)s WHERE id = %(id)s;
