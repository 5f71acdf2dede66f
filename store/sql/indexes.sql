-- name: wait
SELECT set_config('lock_timeout', %(lock_timeout)s, false);

-- name: state
-- What has the name: the table of which it is an index, and whether that may be used.
SELECT t.relname, coalesce(i.indisvalid AND i.indisready, false)
FROM pg_class c LEFT JOIN pg_index i ON i.indexrelid = c.oid LEFT JOIN pg_class t ON t.oid = i.indrelid
WHERE c.relnamespace = current_schema()::regnamespace AND c.relname = %(name)s;
