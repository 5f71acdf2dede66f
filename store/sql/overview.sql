-- name: switches
SELECT s.name, s.seen_at, statement_timestamp() - s.seen_at AS ago, s.drained_at,
       (SELECT count(*) FROM attempts a WHERE a.switch = s.name AND a.state IN ('dialing', 'ringing', 'early', 'in_progress')) AS calls
FROM switches s ORDER BY s.name;

-- name: paused_agents
SELECT g.id AS agent_id, g.name, t.name AS tenant,
       (SELECT count(*) FROM (SELECT FROM attempts a
                              WHERE a.state = 'queued' AND a.pushed_epoch IS NOT NULL AND a.pushed_epoch = -1 - g.hold_number
                              LIMIT %(counted)s) held) AS waiting
FROM agents g JOIN tenants t ON t.id = g.tenant_id WHERE g.paused ORDER BY t.name, g.name;

-- name: leads
-- As store/leader.py takes it: one bigint, which the list of locks shows in two halves.
SELECT EXISTS (
    SELECT FROM pg_locks l
    WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
      AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
      AND ((l.classid::bigint << 32) | l.objid::bigint) = hashtextextended('leader:' || %(name)s, 0));

-- name: due
-- Whether anything queued is due: of what is in no lane the earliest, and whatever is laned. And when the next will be.
SELECT EXISTS (SELECT FROM attempts a WHERE a.state = 'queued' AND a.pushed_epoch IS NULL AND a.due_at <= statement_timestamp())
    OR EXISTS (SELECT FROM attempts a WHERE a.state = 'queued' AND a.pushed_epoch IS NOT NULL AND a.pushed_epoch >= 0) AS due,
    (SELECT extract(epoch FROM a.due_at - statement_timestamp())::float8 FROM attempts a
     WHERE a.state = 'queued' AND a.pushed_epoch IS NULL AND a.due_at > statement_timestamp()
     ORDER BY a.due_at LIMIT 1) AS next_s;

