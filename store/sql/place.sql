-- name: waiting
-- The call, and its attempt that is queued if one is. "Gone": it will never be dialed and only waits for its end.
SELECT c.id AS call_id, c.status, c.lane, c.route, c.priority, c.expires_at, a.id AS attempt_id, a.number, a.due_at,
       a.pushed_epoch, statement_timestamp() AS now,
       c.cancel_requested OR {covered} AS canceled, c.expires_at <= statement_timestamp() AS expired,
       coalesce((SELECT g.paused FROM agents g WHERE g.id = c.agent_id), false) AS agent_paused
FROM calls c LEFT JOIN LATERAL (
    SELECT q.id, q.number, q.due_at, q.pushed_epoch FROM attempts q
    WHERE q.call_id = c.id AND q.state = 'queued' ORDER BY q.number DESC LIMIT 1) a ON true
WHERE c.tenant_id = %(tenant_id)s AND c.id = %(call_id)s;

-- name: by_index
-- A lane may have grown by a million since the planner last counted: it has no choice but the index, from where it begins.
SELECT set_config(name, 'off', true)
FROM unnest(ARRAY['enable_sort', 'enable_incremental_sort', 'enable_bitmapscan', 'enable_hashjoin', 'enable_mergejoin',
                  'enable_seqscan']) AS name;

-- name: unlaned_before
-- Those of the lane that are in no lane and come before it, without those that a lane held a moment ago. What the tenant
-- canceled with its whole queue is walked past, but not for ever: the second column says that the walk was broken off.
SELECT count(*) FILTER (WHERE dialed), coalesce(bool_or(n = %(walk)s), false) FROM (
    SELECT b.n, b.dialed FROM (
        SELECT row_number() OVER (ORDER BY a.due_at, a.id) AS n,
               NOT a.id = ANY(%(laned)s) AND a.created_at > coalesce(m.canceled_before, '-infinity') AS dialed
        FROM attempts a
        CROSS JOIN (SELECT (SELECT t.canceled_before FROM tenants t WHERE t.id = %(tenant_id)s)) m(canceled_before)
        WHERE a.lane = %(lane)s AND a.state = 'queued' AND a.pushed_epoch IS NULL AND (a.due_at, a.id) < (%(due_at)s, %(id)s)
        ORDER BY a.due_at, a.id LIMIT %(walk)s) b
    WHERE b.dialed OR b.n = %(walk)s LIMIT %(exact)s) before;

-- name: queued_before
-- The same when nobody can say what lanes hold: all that is queued before it, laned or not, and what is held as it is.
SELECT count(*) FILTER (WHERE dialed), coalesce(bool_or(n = %(walk)s), false) FROM (
    SELECT b.n, b.dialed FROM (
        SELECT row_number() OVER (ORDER BY a.due_at, a.id) AS n,
               (coalesce(a.pushed_epoch, 0) >= 0 OR a.pushed_epoch = %(held)s)
               AND a.created_at > coalesce(m.canceled_before, '-infinity') AS dialed
        FROM attempts a
        CROSS JOIN (SELECT (SELECT t.canceled_before FROM tenants t WHERE t.id = %(tenant_id)s)) m(canceled_before)
        WHERE a.lane = %(lane)s AND a.state = 'queued' AND (a.due_at, a.id) < (%(due_at)s, %(id)s)
        ORDER BY a.due_at, a.id LIMIT %(walk)s) b
    WHERE b.dialed OR b.n = %(walk)s LIMIT %(exact)s) before;

-- name: first_due
-- Since when the lane has had work. One that was parked, and hides the next, says nothing.
SELECT CASE WHEN coalesce(a.pushed_epoch, 0) >= 0 THEN a.due_at END FROM attempts a
WHERE a.lane = %(lane)s AND a.state = 'queued' ORDER BY a.due_at, a.id LIMIT 1;

-- name: spans
-- Calls that have ended of late on some carriers, and those that are on the line: how long each has kept its channel. Ended
-- ones count from where the window begins.
WITH ended AS (
    SELECT a.carrier_id, a.lane, a.claimed_at, a.ended_at FROM attempts a
    WHERE a.ended_at > statement_timestamp() - %(window)s::interval AND a.carrier_id IS NOT NULL
    ORDER BY a.ended_at DESC LIMIT %(limit)s
), since AS (
    SELECT CASE WHEN count(*) < %(limit)s THEN statement_timestamp() - %(window)s::interval ELSE min(ended_at) END AS at FROM ended
), live AS (
    SELECT a.carrier_id, a.lane, a.claimed_at, NULL::timestamptz AS ended_at FROM attempts a
    WHERE a.state IN ('dialing', 'ringing', 'early', 'in_progress') AND a.carrier_id IS NOT NULL LIMIT %(limit)s
)
SELECT k.carrier_id, split_part(k.lane, '.', 2) AS priority,
       greatest(0, extract(epoch FROM since.at - k.claimed_at))::float8 AS seen_s,
       extract(epoch FROM coalesce(k.ended_at, statement_timestamp()) - k.claimed_at)::float8 AS until_s,
       k.ended_at IS NOT NULL AS over,
       extract(epoch FROM statement_timestamp() - coalesce(k.ended_at, statement_timestamp()))::float8 AS ago_s
FROM (SELECT * FROM ended UNION ALL SELECT * FROM live) k CROSS JOIN since
WHERE k.carrier_id = ANY(%(carriers)s) AND k.claimed_at IS NOT NULL;

-- name: queued_of
SELECT t.id, (coalesce((SELECT q.n FROM queue_counts q WHERE q.tenant_id = t.id), 0)
              + coalesce((SELECT sum(d.n) FROM queue_deltas d WHERE d.tenant_id = t.id), 0))::bigint
FROM unnest(%(tenants)s::uuid[]) AS t(id);
