-- Calls as they are shown, and lists of them, newest first. Every list walks one index, between two ids; those of which only
-- some rows fit look at a bounded number of them, which `older_end` and `newer_end` find the last one of.

-- part: mine
c.tenant_id = %(tenant_id)s AND c.id > %(above)s AND c.id < %(below)s

-- part: fits
(%(status)s::text IS NULL
 OR (c.status = CASE %(status)s::text WHEN 'early' THEN 'ringing' ELSE %(status)s::text END
     AND (c.status <> 'ringing' OR c.early = (%(status)s::text = 'early'))))
AND (%(to_number)s::text IS NULL OR c.to_number = %(to_number)s)
AND (%(end_reason)s::text IS NULL OR c.end_reason = %(end_reason)s)
AND (%(client_reference)s::text IS NULL OR c.client_reference = %(client_reference)s)
AND (%(agent_id)s::uuid IS NULL OR c.agent_id = %(agent_id)s)
AND (%(test)s::boolean IS NULL OR c.test = %(test)s)
AND (%(created_after)s::timestamptz IS NULL OR c.created_at >= %(created_after)s)
AND (%(created_before)s::timestamptz IS NULL OR c.created_at < %(created_before)s)

-- part: dial
-- The attempt that was answered, else the latest: an earlier one may turn out to have been answered when the next was decided.
CROSS JOIN LATERAL (SELECT t.* FROM attempts t WHERE t.call_id = c.id
                    ORDER BY (t.answered_at IS NOT NULL) DESC, t.number DESC LIMIT 1) a

-- name: get
SELECT {call}, {attempt} FROM calls c {dial} WHERE c.tenant_id = %(tenant_id)s AND c.id = %(id)s;

-- name: older
SELECT {call}, {attempt} FROM (
    SELECT * FROM calls c WHERE {mine} AND {fits} ORDER BY c.id DESC LIMIT %(limit)s) c {dial} ORDER BY c.id DESC;

-- name: older_end
SELECT c.id FROM calls c WHERE {mine} ORDER BY c.id DESC OFFSET %(scan)s LIMIT 1;

-- name: older_to
SELECT {call}, {attempt} FROM (
    SELECT * FROM calls c WHERE {mine} AND c.to_number = %(to_number)s AND {fits} ORDER BY c.id DESC LIMIT %(limit)s) c {dial}
ORDER BY c.id DESC;

-- name: older_to_end
SELECT c.id FROM calls c WHERE {mine} AND c.to_number = %(to_number)s ORDER BY c.id DESC OFFSET %(scan)s LIMIT 1;

-- name: older_reference
SELECT {call}, {attempt} FROM (
    SELECT * FROM calls c WHERE {mine} AND c.client_reference = %(client_reference)s AND {fits}
    ORDER BY c.id DESC LIMIT %(limit)s) c {dial}
ORDER BY c.id DESC;

-- name: older_reference_end
SELECT c.id FROM calls c WHERE {mine} AND c.client_reference = %(client_reference)s
ORDER BY c.id DESC OFFSET %(scan)s LIMIT 1;

-- name: newer
-- Towards the newest: the nearest first, as they were asked for.
SELECT {call}, {attempt} FROM (
    SELECT * FROM calls c WHERE {mine} AND {fits} ORDER BY c.id LIMIT %(limit)s) c {dial} ORDER BY c.id;

-- name: newer_end
SELECT c.id FROM calls c WHERE {mine} ORDER BY c.id OFFSET %(scan)s LIMIT 1;

-- name: newer_to
SELECT {call}, {attempt} FROM (
    SELECT * FROM calls c WHERE {mine} AND c.to_number = %(to_number)s AND {fits} ORDER BY c.id LIMIT %(limit)s) c {dial}
ORDER BY c.id;

-- name: newer_to_end
SELECT c.id FROM calls c WHERE {mine} AND c.to_number = %(to_number)s ORDER BY c.id OFFSET %(scan)s LIMIT 1;

-- name: newer_reference
SELECT {call}, {attempt} FROM (
    SELECT * FROM calls c WHERE {mine} AND c.client_reference = %(client_reference)s AND {fits}
    ORDER BY c.id LIMIT %(limit)s) c {dial}
ORDER BY c.id;

-- name: newer_reference_end
SELECT c.id FROM calls c WHERE {mine} AND c.client_reference = %(client_reference)s
ORDER BY c.id OFFSET %(scan)s LIMIT 1;

-- name: older_batch
SELECT {call}, {attempt} FROM (
    SELECT * FROM calls c WHERE {mine} AND c.batch_id = %(batch_id)s AND {fits}
    ORDER BY c.batch_id, c.id DESC LIMIT %(limit)s) c {dial}
ORDER BY c.id DESC;

-- name: older_batch_end
SELECT c.id FROM calls c WHERE {mine} AND c.batch_id = %(batch_id)s ORDER BY c.batch_id, c.id DESC OFFSET %(scan)s LIMIT 1;

-- name: newer_batch
SELECT {call}, {attempt} FROM (
    SELECT * FROM calls c WHERE {mine} AND c.batch_id = %(batch_id)s AND {fits}
    ORDER BY c.batch_id DESC, c.id LIMIT %(limit)s) c {dial}
ORDER BY c.id;

-- name: newer_batch_end
SELECT c.id FROM calls c WHERE {mine} AND c.batch_id = %(batch_id)s ORDER BY c.batch_id DESC, c.id OFFSET %(scan)s LIMIT 1;
