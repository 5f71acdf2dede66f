-- name: server
SELECT current_setting('server_version_num')::int AS version, current_setting('fsync')::bool AS fsync,
       current_setting('full_page_writes')::bool AS full_page_writes,
       current_setting('synchronous_commit') <> 'off' AS synchronous_commit,
       current_setting('max_connections')::int AS max_connections,
       (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')::int AS connections,
       (SELECT coalesce(max(extract(epoch FROM now() - xact_start)), 0) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid())::float8 AS oldest_s,
       pg_is_in_recovery() AS standby, extract(epoch FROM clock_timestamp())::float8 AS clock

-- name: agents
-- Agents that are reached over the network, the newest first.
SELECT t.name AS tenant, g.name, g.url FROM agents g JOIN tenants t ON t.id = g.tenant_id
WHERE g.url IS NOT NULL AND NOT g.paused ORDER BY g.created_at DESC LIMIT %(most)s

-- name: speaking
-- Agents in use that have texts.
SELECT count(*) FROM agents g
WHERE g.archived_at IS NULL AND (jsonb_path_exists(g.script, '$[*].text') OR jsonb_path_exists(g.menu, '$.*[*].text')
                                 OR g.greeting ? 'text' OR g.fallback ? 'text')

-- name: switches
SELECT name, extract(epoch FROM now() - seen_at)::float8 AS silent_s, drained_at IS NOT NULL AS drained
FROM switches ORDER BY name

-- name: deaf
-- Of each carrier's answered calls since then: how many the switch ended because no audio came in.
SELECT k.name, r.answered, r.deaf FROM carriers k CROSS JOIN LATERAL (
    SELECT count(*)::int AS answered, (count(*) FILTER (WHERE a.cause = 'MEDIA_TIMEOUT'))::int AS deaf
    FROM attempts a
    WHERE a.carrier_id = k.id AND a.claimed_at > %(since)s AND a.answered_at IS NOT NULL) r
WHERE r.answered > 0 ORDER BY k.name
