-- name: seen
-- core_since is when this Core-UUID was first seen: what is older lived in a process that is gone.
INSERT INTO switches (name, core_uuid, core_since, seen_at)
VALUES (%(name)s, %(core_uuid)s, %(now)s, %(now)s)
ON CONFLICT (name) DO UPDATE SET
    core_since = CASE WHEN switches.core_uuid IS DISTINCT FROM excluded.core_uuid
                      THEN excluded.core_since ELSE switches.core_since END,
    core_uuid = excluded.core_uuid,
    seen_at = excluded.seen_at
RETURNING core_since

-- name: touch
UPDATE switches SET seen_at = %(now)s WHERE name = %(name)s

-- name: live
SELECT name FROM switches WHERE seen_at > %(since)s ORDER BY name
