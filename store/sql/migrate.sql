-- name: try_lock
-- Not waited for in Postgres: whoever waits there holds a snapshot, for whose end an index built CONCURRENTLY would wait.
SELECT pg_try_advisory_lock(%(key)s);

-- name: give_way
-- For this transaction. Half of what Postgres takes to look for a deadlock, so that whoever writes is never its victim.
SELECT set_config('lock_timeout', least(%(most_ms)s, greatest(10, extract(epoch FROM
           current_setting('deadlock_timeout')::interval) * 500))::integer || 'ms', true);

-- name: older
-- Ours have role@host as their name, and behind it the newest migration that they know; those without are older than that.
SELECT DISTINCT split_part(application_name, ' m', 1) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name LIKE '%%@%%'
  AND coalesce(substring(application_name FROM ' m([0-9]+)$')::integer, 0) < %(number)s
ORDER BY 1;

-- name: wait
SELECT set_config('lock_timeout', %(lock_timeout)s, false);

-- name: create_table
CREATE TABLE IF NOT EXISTS schema_migrations (
    name        text PRIMARY KEY,
    checksum    bytea NOT NULL,
    applied_at  timestamptz NOT NULL DEFAULT now()
);

-- name: applied
SELECT name, checksum FROM schema_migrations ORDER BY name;

-- name: record
INSERT INTO schema_migrations (name, checksum) VALUES (%(name)s, %(checksum)s);
