-- part: recording
r.id, r.attempt_id, r.call_id, r.tenant_id, r.switch, r.start, r.state, r.failure, r.created_at, r.started_at, r.stopped_at,
r.pauses, r.duration_ms, r.channels, r.sample_rate, r.size_bytes, r.sha256, r.place, r.key, r.uploaded_at, r.retention_until,
r.delete_requested, r.deleted_at

-- name: expect
INSERT INTO recordings (id, attempt_id, call_id, tenant_id, switch, start, created_at)
SELECT %(id)s, a.id, c.id, c.tenant_id, a.switch, c.recording->>'start', %(at)s
FROM attempts a JOIN calls c ON c.id = a.call_id
WHERE a.id = %(attempt_id)s AND c.recording IS NOT NULL
ON CONFLICT (attempt_id) DO NOTHING;

-- name: started
-- A word that comes late does not take back what is known by then.
UPDATE recordings r SET started_at = %(at)s, state = CASE WHEN r.state = 'waiting' THEN 'recording' ELSE r.state END
WHERE r.attempt_id = %(attempt_id)s AND r.started_at IS NULL AND r.state NOT IN ('failed', 'deleted')
RETURNING {recording};

-- name: stopped
UPDATE recordings SET stopped_at = %(at)s WHERE attempt_id = %(attempt_id)s AND stopped_at IS NULL;

-- name: paused
UPDATE recordings SET pauses = pauses || jsonb_build_array(jsonb_build_object('from', %(at)s::timestamptz, 'to', null))
WHERE attempt_id = %(attempt_id)s AND (pauses = '[]' OR pauses->-1->'to' <> 'null');

-- name: resumed
UPDATE recordings SET pauses = jsonb_set(pauses, '{-1,to}', to_jsonb(%(at)s::timestamptz))
WHERE attempt_id = %(attempt_id)s AND pauses->-1->'to' = 'null';

-- name: notify_switch
SELECT pg_notify('call_commands', coalesce(a.switch, '-') || ' ' || a.id) FROM attempts a WHERE a.id = %(attempt_id)s;

-- name: of_attempts
-- What is known of each of these files, by the attempt each is named after.
SELECT a.id AS attempt_id, c.tenant_id, a.state AS attempt_state, a.ended_at, c.recording IS NOT NULL AS wanted,
       r.id, r.state, r.stopped_at, r.sha256, r.place, r.key, r.delete_requested
FROM unnest(%(ids)s::uuid[]) AS f(id)
JOIN attempts a ON a.id = f.id JOIN calls c ON c.id = a.call_id LEFT JOIN recordings r ON r.attempt_id = a.id;

-- name: uploading
UPDATE recordings r SET state = 'uploading', place = %(place)s, key = %(key)s, size_bytes = %(size_bytes)s, sha256 = %(sha256)s,
    duration_ms = %(duration_ms)s, channels = %(channels)s, sample_rate = %(sample_rate)s,
    started_at = coalesce(r.started_at, a.answered_at), stopped_at = coalesce(r.stopped_at, a.ended_at),
    pauses = CASE WHEN r.pauses->-1->'to' = 'null'
                  THEN jsonb_set(r.pauses, '{-1,to}', to_jsonb(coalesce(r.stopped_at, a.ended_at, %(now)s))) ELSE r.pauses END
FROM attempts a
WHERE r.id = %(id)s AND a.id = r.attempt_id AND r.state IN ('waiting', 'recording', 'uploading') AND NOT r.delete_requested
RETURNING {recording};

-- name: available
-- A removal that was asked for during the upload has set when it is due, and stays due.
UPDATE recordings r SET state = 'available', uploaded_at = %(now)s,
    retention_until = least(r.retention_until,
                            coalesce(r.stopped_at, %(now)s) + make_interval(days => (c.recording->>'days')::integer))
FROM calls c
WHERE r.id = %(id)s AND c.id = r.call_id AND r.state = 'uploading'
RETURNING {recording};

-- name: failed
UPDATE recordings r SET state = 'failed', failure = %(failure)s
WHERE r.id = %(id)s AND r.state IN ('waiting', 'recording', 'uploading')
RETURNING {recording};

-- name: open_of
SELECT {recording} FROM recordings r WHERE r.attempt_id = %(attempt_id)s AND r.state IN ('waiting', 'recording', 'uploading');

-- name: over
-- Nothing is written any more and no file came of it.
SELECT {recording} FROM recordings r JOIN attempts a ON a.id = r.attempt_id
WHERE r.switch = %(switch)s AND r.state IN ('waiting', 'recording', 'uploading') AND a.state = 'ended' AND a.ended_at < %(before)s
ORDER BY r.id LIMIT %(limit)s;

-- name: due
-- A directory is only looked into by whoever sits beside the switch: elsewhere the same path may be another disk.
SELECT {recording} FROM recordings r
WHERE r.state = 'available' AND r.retention_until <= %(now)s
  AND (r.place = 's3' AND %(s3)s OR r.place = 'local' AND %(local)s AND r.switch = %(switch)s)
ORDER BY r.retention_until LIMIT %(limit)s;

-- name: deleted
UPDATE recordings r SET state = 'deleted', deleted_at = %(now)s
WHERE r.id = %(id)s AND r.state IN ('waiting', 'recording', 'uploading', 'available')
RETURNING {recording};

-- name: get
SELECT {recording} FROM recordings r WHERE r.tenant_id = %(tenant_id)s AND r.id = %(id)s;

-- name: find
SELECT {recording} FROM recordings r WHERE r.id = %(id)s;

-- name: list
SELECT {recording} FROM recordings r WHERE r.tenant_id = %(tenant_id)s AND r.call_id = %(call_id)s ORDER BY r.id;

-- name: request_deletion
-- What is kept is due for removal now; what is still to be kept is removed instead.
UPDATE recordings r SET delete_requested = true, retention_until = least(r.retention_until, %(now)s)
WHERE r.tenant_id = %(tenant_id)s AND r.id = %(id)s
RETURNING {recording};
