-- name: record
INSERT INTO audit_entries (id, actor, action, subject, data, personal_id, personal_hash)
VALUES (%(id)s, %(actor)s, %(action)s, %(subject)s, %(data)s, %(personal_id)s, %(personal_hash)s);

-- name: record_personal
INSERT INTO audit_personal (id, salt, data) VALUES (%(personal_id)s, %(salt)s, %(personal)s);

-- name: turn
-- Who seals, one at a time; whoever comes meanwhile has nothing to do.
SELECT pg_try_advisory_xact_lock(hashtextextended('audit ledger', 0));

-- name: head
SELECT place, hash FROM audit_entries WHERE place IS NOT NULL ORDER BY place DESC LIMIT 1;

-- part: entry
id, at, actor, action, subject, data, personal_id, personal_hash, place, previous, hash

-- name: unsealed
SELECT {entry} FROM audit_entries WHERE place IS NULL ORDER BY id LIMIT %(limit)s;

-- name: seal
UPDATE audit_entries e SET place = n.place, previous = n.previous, hash = n.hash
FROM unnest(%(ids)s::uuid[], %(places)s::bigint[], %(previous)s::bytea[], %(hashes)s::bytea[]) AS n(id, place, previous, hash)
WHERE e.id = n.id;

-- name: sealed_after
SELECT {entry} FROM audit_entries WHERE place > %(after)s ORDER BY place LIMIT %(limit)s;

-- name: entry_at
SELECT {entry} FROM audit_entries WHERE place = %(place)s;

-- name: waiting
SELECT count(*) FROM audit_entries WHERE place IS NULL;

-- name: list
SELECT {entry} FROM audit_entries
WHERE (%(actor)s::text IS NULL OR actor = %(actor)s) AND (%(action)s::text IS NULL OR action = %(action)s)
  AND (%(subject)s::text IS NULL OR subject = %(subject)s) AND (%(since)s::timestamptz IS NULL OR at >= %(since)s)
ORDER BY id DESC LIMIT %(limit)s;

-- name: personal
SELECT id, salt, data, erased_at FROM audit_personal WHERE id = ANY(%(ids)s);

-- name: erase
UPDATE audit_personal p SET salt = NULL, data = NULL, erased_at = statement_timestamp()
FROM audit_entries e
WHERE e.personal_id = p.id AND p.erased_at IS NULL
  AND (e.id = %(id)s OR p.data @> %(holding)s::jsonb)
RETURNING e.id;
