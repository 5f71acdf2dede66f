-- name: turn
SELECT pg_try_advisory_xact_lock(hashtextextended('audit decisions', 0));

-- name: read_until
-- Whether every transaction that may have drawn a number up to "until_id" is over.
SELECT read_id, until_id, until_xid <= pg_snapshot_xmin(pg_current_snapshot()) FROM audit_read;

-- name: last_event
-- First the number, then (in a statement of its own) the transactions: who had drawn one by then had begun to write.
SELECT coalesce(pg_sequence_last_value('call_events_id_seq'::regclass), 0);

-- name: read_further
UPDATE audit_read SET until_id = %(until_id)s, until_xid = pg_snapshot_xmax(pg_current_snapshot());

-- name: read_so_far
UPDATE audit_read SET read_id = %(read_id)s;

-- part: decides
-- A dial that was begun, or an attempt that a rule ended.
(e.type = 'attempt.claimed'
 OR (e.type = 'attempt.ended' AND e.source = 'operator' AND starts_with(e.data ->> 'cause', 'blocked')))

-- name: decided
-- Dials that were begun, and attempts that a rule ended, as their events tell; what was decided of each.
SELECT e.id, e.attempt_id, e.type = 'attempt.claimed', a.decision
FROM call_events e JOIN attempts a ON a.id = e.attempt_id
WHERE e.id > %(after)s AND e.id <= %(until)s AND {decides}
ORDER BY e.id;

-- name: of_attempts
-- What is decided of each now, how often something was that is put down, and whether the last of that was taken back.
SELECT a.id, a.decision, t.times, t.taken_back
FROM attempts a CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE {decides}) AS times,
           coalesce((array_agg(e.type ORDER BY e.id DESC))[1] = 'attempt.unclaimed', false) AS taken_back
    FROM call_events e
    WHERE e.call_id = a.call_id AND e.attempt_id = a.id AND (e.type = 'attempt.unclaimed' OR {decides})) t
WHERE a.id = ANY(%(ids)s);
