-- name: lock_queued
-- Under the lock of their calls. With the clock by which a claim goes.
SELECT coalesce(%(clock)s::timestamptz, statement_timestamp()), {attempt}
FROM attempts a JOIN calls c ON c.id = a.call_id
WHERE a.id = ANY(%(ids)s) AND a.state = 'queued' AND NOT c.ended
ORDER BY a.id FOR NO KEY UPDATE OF a;

-- name: move_attempts
-- In no lane then: the feeder lanes it when it is due.
UPDATE attempts a SET due_at = n.due_at, dial_until = n.dial_until, pushed_epoch = NULL, pushed_at = NULL
FROM jsonb_populate_recordset(NULL::attempts, %(rows)s) n
WHERE a.id = n.id;

-- name: move_calls
UPDATE calls c SET due_at = n.due_at FROM jsonb_populate_recordset(NULL::calls, %(rows)s) n WHERE c.id = n.id;
