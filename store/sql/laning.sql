-- name: by_index
-- These questions read a few rows where one index begins. A planner that thinks much of sorting would rather read a whole
-- lane, or every lane by time, and a lane may have grown by a million since it last counted. So it has no choice.
SELECT set_config(name, 'off', true)
FROM unnest(ARRAY['enable_sort', 'enable_incremental_sort', 'enable_bitmapscan', 'enable_hashjoin', 'enable_mergejoin',
                  'enable_seqscan']) AS name;

-- name: due_lanes
-- From one lane to the next, looking at the first of each: it costs the lanes there are, whatever waits in them.
WITH RECURSIVE first AS (
    (SELECT a.lane, a.due_at FROM attempts a WHERE a.state = 'queued' AND a.pushed_epoch IS NULL
     ORDER BY a.lane, a.due_at, a.id LIMIT 1)
    UNION ALL
    SELECT n.lane, n.due_at
    FROM first f CROSS JOIN LATERAL (
        SELECT a.lane, a.due_at FROM attempts a WHERE a.state = 'queued' AND a.pushed_epoch IS NULL AND a.lane > f.lane
        ORDER BY a.lane, a.due_at, a.id LIMIT 1) n
)
SELECT lane FROM first WHERE due_at <= coalesce(%(clock)s::timestamptz, statement_timestamp());

-- name: refill
-- The first of each lane, in order. "Gone": the call has expired or was canceled with its tenant's whole queue or its batch. "Held": its
-- agent is paused. "Closed": its window is, so no claim would take it. The calls are looked up one by one (OFFSET 0 keeps it
-- so), because there are few of them and many others.
SELECT w.position::integer, f.id, w.lane, c.gone, c.held, f.closed
FROM unnest(%(lanes)s::text[], %(wants)s::integer[], %(after)s::timestamptz[], %(upto)s::timestamptz[])
     WITH ORDINALITY AS w(lane, want, after, upto, position)
CROSS JOIN LATERAL (
    SELECT a.id, a.call_id,
           coalesce(a.dial_until < coalesce(%(clock)s::timestamptz, statement_timestamp()), false) AS closed
    FROM attempts a
    WHERE a.lane = w.lane AND a.state = 'queued' AND a.pushed_epoch IS NULL
      AND a.due_at > coalesce(w.after, '-infinity')
      AND a.due_at <= least(w.upto, coalesce(%(clock)s::timestamptz, statement_timestamp()))
    ORDER BY a.due_at, a.id LIMIT w.want
) f
CROSS JOIN LATERAL (
    SELECT k.expires_at <= coalesce(%(clock)s::timestamptz, statement_timestamp())
        OR coalesce(k.created_at <= (SELECT t.canceled_before FROM tenants t WHERE t.id = k.tenant_id), false)
        OR coalesce((SELECT b.canceled_at IS NOT NULL FROM batches b WHERE b.id = k.batch_id), false) AS gone,
        coalesce((SELECT g.paused FROM agents g WHERE g.id = k.agent_id), false) AS held
    FROM calls k WHERE k.id = f.call_id OFFSET 0
) c;

-- name: next_due
SELECT extract(epoch FROM a.due_at - coalesce(%(clock)s::timestamptz, statement_timestamp()))::float8
FROM attempts a
WHERE a.state = 'queued' AND a.pushed_epoch IS NULL AND a.due_at > coalesce(%(clock)s::timestamptz, statement_timestamp())
ORDER BY a.due_at LIMIT 1;

-- name: mark_pushed
-- Not by a leader whose epoch is over: it laned them in a Redis that is gone.
UPDATE attempts a SET pushed_epoch = %(epoch)s, pushed_at = %(now)s
FROM (SELECT id FROM attempts WHERE id = ANY(%(ids)s) AND state = 'queued' ORDER BY id FOR NO KEY UPDATE SKIP LOCKED) laned
WHERE a.id = laned.id AND (SELECT b.epoch FROM budget_epoch b) = %(epoch)s;

-- name: park
UPDATE attempts a SET pushed_epoch = %(parked)s, pushed_at = NULL
FROM (SELECT id FROM attempts WHERE id = ANY(%(ids)s) AND state = 'queued' AND pushed_epoch IS NULL
      ORDER BY id FOR NO KEY UPDATE SKIP LOCKED) gone
WHERE a.id = gone.id;

-- name: hold
-- Behind a number of its agent's, with the time it is due, so that all of an agent are found again at once and in order.
UPDATE attempts a SET pushed_epoch = -1 - g.hold_number, pushed_at = a.due_at
FROM (SELECT id FROM attempts WHERE id = ANY(%(ids)s) AND state = 'queued' AND pushed_epoch IS NULL
      ORDER BY id FOR NO KEY UPDATE SKIP LOCKED) held, calls c, agents g
WHERE a.id = held.id AND c.id = a.call_id AND g.id = c.agent_id AND g.paused;

-- name: release_held
-- From one agent's number to the next by the index, whatever waits behind each. An agent paused again in between keeps the
-- rest of its own.
WITH RECURSIVE numbers AS (
    (SELECT o.pushed_epoch AS number FROM attempts o
     WHERE o.state = 'queued' AND o.pushed_epoch IS NOT NULL AND o.pushed_epoch < -1 ORDER BY o.pushed_epoch DESC LIMIT 1)
    UNION ALL
    SELECT n.pushed_epoch FROM numbers CROSS JOIN LATERAL (
        SELECT o.pushed_epoch FROM attempts o
        WHERE o.state = 'queued' AND o.pushed_epoch IS NOT NULL AND o.pushed_epoch < numbers.number
        ORDER BY o.pushed_epoch DESC LIMIT 1) n
)
UPDATE attempts a SET pushed_epoch = NULL, pushed_at = NULL
FROM (SELECT id FROM attempts
      WHERE id = ANY(ARRAY(
                SELECT h.id FROM numbers CROSS JOIN LATERAL (
                    SELECT o.id FROM attempts o
                    WHERE o.state = 'queued' AND o.pushed_epoch IS NOT NULL AND o.pushed_epoch = numbers.number
                    ORDER BY o.pushed_at LIMIT %(limit)s) h
                WHERE NOT EXISTS (SELECT FROM agents g WHERE g.hold_number = -1 - numbers.number AND g.paused)))
        AND state = 'queued' AND pushed_epoch < -1
      ORDER BY id FOR NO KEY UPDATE SKIP LOCKED) back
WHERE a.id = back.id;

-- name: forget_pushed
-- Laned in an epoch that is over: in no lane now. Two looks, each from where the index begins; then the locks in order.
UPDATE attempts a SET pushed_epoch = NULL, pushed_at = NULL
FROM (SELECT id FROM attempts
      WHERE id = ANY(ARRAY(
                (SELECT o.id FROM attempts o WHERE o.state = 'queued' AND o.pushed_epoch IS NOT NULL
                 AND o.pushed_epoch >= 0 AND o.pushed_epoch < %(epoch)s LIMIT %(limit)s)
                UNION ALL
                (SELECT o.id FROM attempts o WHERE o.state = 'queued' AND o.pushed_epoch IS NOT NULL
                 AND o.pushed_epoch > %(epoch)s LIMIT %(limit)s)))
        AND state = 'queued' AND pushed_epoch <> %(epoch)s
      ORDER BY id FOR NO KEY UPDATE) old
WHERE a.id = old.id;

-- name: unlane_lanes
-- Out of what all lanes hold, which is little, not out of all that waits for these (OFFSET 0 keeps it so).
UPDATE attempts a SET pushed_epoch = NULL, pushed_at = NULL
FROM (SELECT id FROM attempts
      WHERE id = ANY(ARRAY(
                SELECT o.id FROM (SELECT id, lane FROM attempts WHERE state = 'queued' AND pushed_epoch IS NOT NULL
                                  AND pushed_epoch >= 0 OFFSET 0) o
                WHERE o.lane = ANY(%(lanes)s)))
        AND state = 'queued' AND pushed_epoch >= 0
      ORDER BY id FOR NO KEY UPDATE) dropped
WHERE a.id = dropped.id;

-- name: list_pushed
-- One page after the other, so that however many wait, each has its turn. The two conditions of a page: the first finds the
-- place in the index, the second parts those of one moment.
SELECT a.id AS attempt_id, a.lane, c.priority, a.pushed_at
FROM attempts a JOIN calls c ON c.id = a.call_id JOIN tenants t ON t.id = c.tenant_id
WHERE a.state = 'queued' AND a.pushed_epoch IS NOT NULL AND a.pushed_epoch = %(epoch)s AND a.pushed_at < %(before)s
  AND a.pushed_at >= coalesce(%(after_at)s::timestamptz, '-infinity')
  AND (%(after_id)s::uuid IS NULL OR (a.pushed_at, a.id) > (%(after_at)s::timestamptz, %(after_id)s::uuid))
  AND NOT t.paused
ORDER BY a.pushed_at, a.id LIMIT %(limit)s;

-- name: list_condemned
-- Of each tenant that canceled its queue, the oldest; alike of all that have any, so that none waits for another's million.
-- Calls of it that are being talked on are passed over, not counted.
WITH marked AS MATERIALIZED (
    SELECT t.id, t.canceled_before, greatest(1, %(limit)s / count(*) OVER ()) AS share
    FROM tenants t
    CROSS JOIN LATERAL (
        SELECT FROM calls c
        CROSS JOIN LATERAL (SELECT FROM attempts q WHERE q.call_id = c.id AND q.state = 'queued' OFFSET 0) a
        WHERE c.tenant_id = t.id AND NOT c.ended AND c.created_at <= t.canceled_before
        ORDER BY c.created_at LIMIT 1
    ) one
    WHERE t.canceled_before IS NOT NULL
)
SELECT d.id
FROM marked m
CROSS JOIN LATERAL (
    SELECT a.id FROM calls c
    CROSS JOIN LATERAL (SELECT q.id FROM attempts q WHERE q.call_id = c.id AND q.state = 'queued' OFFSET 0) a
    WHERE c.tenant_id = m.id AND NOT c.ended AND c.created_at <= m.canceled_before
    ORDER BY c.created_at LIMIT m.share
) d
LIMIT %(limit)s;
