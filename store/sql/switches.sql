-- name: seen
-- core_since is when this Core-UUID was first seen: what is older lived in a process that is gone.
INSERT INTO switches (name, core_uuid, core_since, seen_at, lab)
VALUES (%(name)s, %(core_uuid)s, %(now)s, %(now)s, %(lab)s)
ON CONFLICT (name) DO UPDATE SET
    core_since = CASE WHEN switches.core_uuid IS DISTINCT FROM excluded.core_uuid
                      THEN excluded.core_since ELSE switches.core_since END,
    core_uuid = excluded.core_uuid,
    seen_at = excluded.seen_at,
    lab = excluded.lab
RETURNING core_since

-- name: touch
UPDATE switches SET seen_at = %(now)s WHERE name = %(name)s

-- name: live
SELECT name FROM switches WHERE seen_at > %(since)s AND (%(lab)s::boolean IS NULL OR lab = %(lab)s) ORDER BY name

-- name: drain
UPDATE switches SET drained_at = CASE WHEN %(now)s::timestamptz IS NOT NULL THEN coalesce(drained_at, %(now)s) END
WHERE name = %(name)s
RETURNING drained_at

-- name: drained
SELECT FROM switches WHERE name = %(name)s AND drained_at IS NOT NULL

-- name: calls_left
SELECT count(*) FROM attempts WHERE switch = %(name)s AND state IN ('dialing', 'ringing', 'early', 'in_progress')
