-- part: suppression
s.id, s.tenant_id, s.number, s.origin, s.source, s.list_name, s.obtained_at, s.note, s.call_id, s.created_by, s.created_at,
s.lifted_at, s.lifted_by, s.lifted_reason

-- name: add
-- One that holds already is kept as it was first written. Returned are the new ones alone.
INSERT INTO suppressions AS s (id, tenant_id, number, origin, source, list_name, obtained_at, note, call_id, created_by, created_at)
SELECT n.id, n.tenant_id, n.number, n.origin, n.source, n.list_name, n.obtained_at, n.note, n.call_id, n.created_by, n.created_at
FROM jsonb_populate_recordset(NULL::suppressions, %(rows)s) n
ORDER BY n.number
ON CONFLICT (number, tenant_id) WHERE lifted_at IS NULL DO NOTHING
RETURNING {suppression};

-- name: holding
SELECT {suppression} FROM suppressions s
WHERE s.number = %(number)s AND s.tenant_id IS NOT DISTINCT FROM %(tenant_id)s AND s.lifted_at IS NULL;

-- name: get
SELECT {suppression} FROM suppressions s WHERE s.id = %(id)s AND s.tenant_id IS NOT DISTINCT FROM %(tenant_id)s;

-- name: list
SELECT {suppression} FROM suppressions s
WHERE s.tenant_id IS NOT DISTINCT FROM %(tenant_id)s
  AND (%(before)s::uuid IS NULL OR s.id < %(before)s)
  AND (%(number)s::text IS NULL OR s.number = %(number)s)
  AND (%(lifted)s OR s.lifted_at IS NULL)
ORDER BY s.id DESC LIMIT %(limit)s;

-- name: list_own
-- The same for a tenant alone, by its index.
SELECT {suppression} FROM suppressions s
WHERE s.tenant_id = %(tenant_id)s
  AND (%(before)s::uuid IS NULL OR s.id < %(before)s)
  AND (%(number)s::text IS NULL OR s.number = %(number)s)
  AND (%(lifted)s OR s.lifted_at IS NULL)
ORDER BY s.id DESC LIMIT %(limit)s;

-- name: lift
UPDATE suppressions s SET lifted_at = %(now)s, lifted_by = %(by)s, lifted_reason = %(reason)s
WHERE s.id = %(id)s AND s.tenant_id IS NOT DISTINCT FROM %(tenant_id)s AND s.lifted_at IS NULL
RETURNING {suppression};

-- name: unswept
-- Long enough written that no claim is under way any more which did not see it.
SELECT s.id, s.tenant_id, s.number FROM suppressions s
WHERE s.swept_at IS NULL AND s.created_at < least(%(now)s, statement_timestamp()) - %(rest)s::interval
ORDER BY s.id LIMIT %(limit)s;

-- name: swept
UPDATE suppressions SET swept_at = %(now)s WHERE id = ANY(%(ids)s) AND swept_at IS NULL;

-- name: on_the_line
-- Calls that are dialed or ring: they are few, so all of them are looked through.
SELECT DISTINCT c.id FROM attempts a JOIN calls c ON c.id = a.call_id
JOIN unnest(%(numbers)s::text[], %(tenants)s::uuid[]) AS w(number, tenant_id)
  ON w.number = c.to_number AND (w.tenant_id IS NULL OR w.tenant_id = c.tenant_id)
WHERE a.state IN ('dialing', 'ringing', 'early') AND NOT a.inbound AND NOT c.test;

-- name: waiting
-- Calls that wait, of one tenant or of each, by the index of who calls a number.
SELECT c.id FROM unnest(%(numbers)s::text[], %(tenants)s::uuid[]) AS w(number, tenant_id)
CROSS JOIN LATERAL (SELECT t.id FROM tenants t WHERE w.tenant_id IS NULL OR t.id = w.tenant_id) t
CROSS JOIN LATERAL (
    SELECT c.id FROM calls c
    WHERE c.tenant_id = t.id AND c.to_number = w.number AND c.retry IS NOT NULL AND NOT c.ended AND c.direction = 'outbound'
      AND NOT c.test
    OFFSET 0) c
WHERE c.id > %(after)s
ORDER BY c.id LIMIT %(limit)s;

-- name: page_end
-- The last of so many calls that are not over.
SELECT p.id FROM (SELECT c.id FROM calls c WHERE NOT c.ended AND c.id > %(after)s ORDER BY c.id LIMIT %(limit)s) p
ORDER BY p.id DESC LIMIT 1;

-- name: waiting_between
-- The same for many numbers that nobody may call: all calls of a page that are not over are looked through.
SELECT c.id FROM calls c
WHERE NOT c.ended AND c.id > %(after)s AND c.id <= %(until)s AND c.direction = 'outbound' AND NOT c.test AND c.to_number = ANY(%(numbers)s)
ORDER BY c.id;

-- name: lock_calls
SELECT c.id FROM calls c WHERE c.id = ANY(%(calls)s) AND NOT c.ended AND NOT c.cancel_requested
ORDER BY c.id FOR NO KEY UPDATE;

-- name: latest
-- Under the locks, in a statement of its own: it sees which attempt of each is the latest. Whoever talks is left to talk.
SELECT l.id, l.call_id, l.state, l.switch FROM unnest(%(calls)s::uuid[]) AS w(call_id)
CROSS JOIN LATERAL (SELECT a.id, a.call_id, a.state, a.switch FROM attempts a
                    WHERE a.call_id = w.call_id ORDER BY a.number DESC LIMIT 1) l
WHERE l.state IN ('queued', 'dialing', 'ringing', 'early')
ORDER BY l.id;

-- name: want_cancel
UPDATE calls SET cancel_requested = true WHERE id = ANY(%(calls)s) AND NOT cancel_requested;

-- name: log
INSERT INTO call_events (call_id, attempt_id, dedupe, source, type, at, data)
SELECT w.call_id, w.id, 'suppressed:' || w.id, 'policy', 'call.suppressed', %(now)s, jsonb_build_object('by', %(by)s::text)
FROM unnest(%(calls)s::uuid[], %(attempts)s::uuid[]) AS w(call_id, id)
ON CONFLICT (call_id, dedupe) DO NOTHING;

-- name: add_commands
INSERT INTO call_commands (id, call_id, attempt_id, switch, verb, requested_by, created_at)
SELECT w.id, w.call_id, w.attempt_id, a.switch, 'hangup', %(by)s, %(now)s
FROM unnest(%(ids)s::uuid[], %(calls)s::uuid[], %(attempts)s::uuid[]) AS w(id, call_id, attempt_id)
JOIN attempts a ON a.id = w.attempt_id
WHERE NOT EXISTS (SELECT FROM call_commands m WHERE m.attempt_id = w.attempt_id AND m.verb = 'hangup' AND m.done_at IS NULL);

-- name: notify
SELECT pg_notify('call_commands', '');
