-- name: stranger
INSERT INTO cdr_strangers AS s (switch, count, last_at) VALUES (%(switch)s, 1, %(now)s)
ON CONFLICT (switch) DO UPDATE SET count = s.count + 1, last_at = greatest(s.last_at, excluded.last_at);

-- name: totals
SELECT (SELECT count(*) FROM call_events e WHERE e.type = 'attempt.contradiction') AS contradictions,
       (SELECT e.call_id FROM call_events e WHERE e.type = 'attempt.contradiction' ORDER BY e.id DESC LIMIT 1) AS latest_call,
       (SELECT coalesce(sum(s.count), 0)::bigint FROM cdr_strangers s) AS strangers;
