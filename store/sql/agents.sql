-- part: agent
g.id, g.tenant_id, g.name, g.kind, g.url, g.audio, g.paused, g.created_at, g.archived_at, g.protocol, g.fallback, g.runtime,
g.script, g.menu, g.voice, g.needs, g.number, g.transfer_to, g.pool, g.seat_policy, g.greeting,
g.sample_rate, g.trunk, g.trunk_user

-- name: create
INSERT INTO agents AS g (id, tenant_id, name, kind, url, audio, protocol, fallback, runtime, script, menu, voice, needs, number,
                         transfer_to, pool, seat_policy, greeting, sample_rate, trunk, trunk_user)
VALUES (%(id)s, %(tenant_id)s, %(name)s, %(kind)s, %(url)s, %(audio)s, %(protocol)s, %(fallback)s, %(runtime)s, %(script)s, %(menu)s,
        %(voice)s, %(needs)s, %(number)s, %(transfer_to)s, %(pool)s, %(seat_policy)s, %(greeting)s, %(sample_rate)s, %(trunk)s, %(trunk_user)s)
RETURNING {agent};

-- name: get
SELECT {agent} FROM agents g WHERE g.tenant_id = %(tenant_id)s AND g.id = %(id)s;

-- name: get_several
SELECT {agent} FROM agents g WHERE g.tenant_id = %(tenant_id)s AND g.id = ANY(%(ids)s);

-- name: get_by_name
SELECT {agent} FROM agents g WHERE g.tenant_id = %(tenant_id)s AND g.name = %(name)s AND g.archived_at IS NULL;

-- name: list
SELECT {agent} FROM agents g WHERE g.tenant_id = %(tenant_id)s AND g.archived_at IS NULL ORDER BY g.name;

-- name: list_page
SELECT {agent} FROM agents g
WHERE g.tenant_id = %(tenant_id)s AND g.archived_at IS NULL
  AND g.id < coalesce(%(before)s::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
ORDER BY g.id DESC LIMIT %(limit)s;

-- name: set_paused
UPDATE agents SET paused = %(paused)s WHERE id = %(id)s;

-- name: change
-- A script takes the place of the one file, and the other way round.
UPDATE agents g SET name = coalesce(%(name)s, g.name), url = coalesce(%(url)s, g.url),
    audio = CASE WHEN %(script)s::jsonb IS NOT NULL THEN NULL ELSE coalesce(%(audio)s, g.audio) END,
    script = CASE WHEN %(audio)s::text IS NOT NULL THEN NULL ELSE coalesce(%(script)s, g.script) END,
    menu = coalesce(%(menu)s::jsonb, g.menu),
    voice = coalesce(%(voice)s, g.voice), number = coalesce(%(number)s, g.number),
    transfer_to = coalesce(%(transfer_to)s::text[], g.transfer_to), needs = coalesce(%(needs)s::text[], g.needs),
    protocol = coalesce(%(protocol)s, g.protocol), sample_rate = coalesce(%(sample_rate)s, g.sample_rate),
    fallback = coalesce(%(fallback)s::jsonb, g.fallback),
    runtime = coalesce(%(runtime)s::jsonb, g.runtime),
    greeting = CASE WHEN 'greeting' = ANY(%(cleared)s::text[]) THEN NULL ELSE coalesce(%(greeting)s::jsonb, g.greeting) END,
    trunk = CASE WHEN 'trunk' = ANY(%(cleared)s::text[]) THEN NULL ELSE coalesce(%(trunk)s, g.trunk) END,
    trunk_user = CASE WHEN 'trunk_user' = ANY(%(cleared)s::text[]) THEN NULL ELSE coalesce(%(trunk_user)s, g.trunk_user) END
WHERE g.tenant_id = %(tenant_id)s AND g.id = %(id)s AND g.archived_at IS NULL
RETURNING {agent};

-- name: lock
-- Whoever writes a call of it holds the row, so that call is seen.
SELECT {agent} FROM agents g WHERE g.tenant_id = %(tenant_id)s AND g.id = %(id)s FOR UPDATE;

-- name: lock_to_change
-- Whoever writes a call of it is not held up.
SELECT {agent} FROM agents g WHERE g.tenant_id = %(tenant_id)s AND g.id = %(id)s FOR NO KEY UPDATE;

-- name: uses
SELECT EXISTS (SELECT FROM calls c WHERE c.agent_id = %(id)s AND NOT c.ended),
       (SELECT n.number FROM numbers n WHERE n.agent_id = %(id)s ORDER BY n.number LIMIT 1);

-- name: archive
UPDATE agents g SET archived_at = %(now)s WHERE g.id = %(id)s RETURNING {agent};

-- name: rotate
-- The one that signs now goes on until then; one that was to follow is forgotten. The first one signs at once.
UPDATE agents g
SET secret = coalesce(CASE WHEN g.next_secret_at <= %(now)s THEN g.next_secret ELSE g.secret END, %(secret)s),
    next_secret = CASE WHEN g.secret IS NOT NULL THEN %(secret)s END,
    next_secret_at = CASE WHEN g.secret IS NOT NULL THEN %(at)s::timestamptz END
WHERE g.tenant_id = %(tenant_id)s AND g.id = %(id)s AND g.archived_at IS NULL AND g.kind = 'websocket';
