-- name: contradicted
INSERT INTO contradictions (attempt_id, call_id, seen_at)
SELECT attempt_id, call_id, seen_at FROM jsonb_populate_recordset(NULL::contradictions, %(rows)s)
ON CONFLICT (attempt_id) DO NOTHING;

-- name: stranger
INSERT INTO cdr_strangers AS s (switch, count, last_at) VALUES (%(switch)s, 1, %(now)s)
ON CONFLICT (switch) DO UPDATE SET count = s.count + 1, last_at = greatest(s.last_at, excluded.last_at);

-- name: totals
SELECT (SELECT count(*) FROM contradictions) AS contradictions,
       (SELECT c.call_id FROM contradictions c ORDER BY c.seen_at DESC, c.attempt_id DESC LIMIT 1) AS latest_call,
       (SELECT coalesce(sum(s.count), 0)::bigint FROM cdr_strangers s) AS strangers;
