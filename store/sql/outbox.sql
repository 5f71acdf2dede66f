-- part: delivery
-- What a dispatcher needs to send one; of the rows that it has taken, as `d`.
d.id, d.event_id, d.tenant_id, d.endpoint_id, d.call_id, d.sequence, d.type, d.lane, d.tries, d.replays, d.since,
coalesce(d.body, o.body) AS body, coalesce(d.url, e.url) AS url,
CASE WHEN e.secret IS NULL THEN t.webhook_secret ELSE e.secret END AS secret,
CASE WHEN e.secret IS NULL THEN CASE WHEN t.webhook_old_until > %(now)s THEN t.webhook_old_secret END
     WHEN e.old_until > %(now)s THEN e.old_secret END AS old_secret

-- name: insert
INSERT INTO outbox (id, tenant_id, call_id, sequence, type, body, url, next_at, created_at)
SELECT id, tenant_id, call_id, sequence, type, body, url, next_at, created_at
FROM jsonb_populate_recordset(NULL::outbox, %(rows)s);

-- name: notify
SELECT pg_notify('outbox', '');

-- name: unhurried
SELECT set_config('synchronous_commit', 'off', true);

-- name: expand
-- Events become deliveries, one for each endpoint that is to hear of it; the first of them are this dispatcher's at once:
-- ends, up to `ends_room`, and others, up to `room` of both, by turns over the endpoints. A call that names an address or an
-- endpoint is told there instead of at the account's endpoints. Who listens hears of everything it asked for beside that. The first column is how many events there were.
WITH due AS MATERIALIZED (
    SELECT o.id, o.tenant_id, o.call_id, o.sequence, o.type, o.body, o.created_at FROM outbox o
    WHERE o.delivered_at IS NULL AND o.failed_at IS NULL AND o.next_at <= %(now)s
    ORDER BY o.next_at LIMIT %(limit)s
    FOR NO KEY UPDATE SKIP LOCKED
), handed AS (
    UPDATE outbox o SET delivered_at = %(now)s FROM due WHERE o.id = due.id
), asked AS MATERIALIZED (
    SELECT due.id, due.tenant_id, due.call_id, due.sequence, due.type, due.created_at,
           CASE WHEN due.type = ANY(%(ends)s) THEN 0 ELSE 1 END AS lane,
           c.webhook_url AS own, (c.webhook ->> 'endpoint_id')::uuid AS named,
           CASE WHEN c.webhook ? 'events' THEN c.webhook -> 'events' ?| ARRAY[due.type, '*'] END AS wanted
    FROM due JOIN calls c ON c.id = due.call_id
), target AS (
    SELECT a.*, e.id AS endpoint_id, e.listens_until IS NOT NULL AS listens, e.disabled_at IS NOT NULL AS off
    FROM asked a JOIN webhook_endpoints e ON e.tenant_id = a.tenant_id AND e.deleted_at IS NULL
    WHERE CASE WHEN e.listens_until IS NOT NULL THEN e.listens_until > %(now)s AND e.events && ARRAY[a.type, '*']
               WHEN a.own IS NOT NULL THEN false
               WHEN a.named IS NOT NULL THEN e.id = a.named AND coalesce(a.wanted, e.events && ARRAY[a.type, '*'])
               ELSE e.events && ARRAY[a.type, '*'] END
    UNION ALL
    SELECT a.*, NULL, false, false FROM asked a WHERE a.own IS NOT NULL AND a.wanted IS NOT FALSE
), turned AS (
    SELECT target.*, row_number() OVER (PARTITION BY lane, tenant_id, endpoint_id ORDER BY call_id, sequence) AS turn
    FROM target
), placed AS (
    SELECT turned.*, NOT off AND NOT listens
           AND row_number() OVER (PARTITION BY off OR listens ORDER BY lane, turn, call_id, sequence)
               <= CASE lane WHEN 0 THEN %(ends_room)s::bigint ELSE %(room)s::bigint END AS now_ours
    FROM turned
), d AS (
    INSERT INTO webhook_deliveries (id, tenant_id, event_id, endpoint_id, url, call_id, sequence, type, lane, status, tries,
                                    since, next_at, ended_at, created_at)
    SELECT uuid7_at(created_at), tenant_id, id, endpoint_id, CASE WHEN endpoint_id IS NULL THEN own END, call_id, sequence,
           type, lane, CASE WHEN off THEN 'skipped' WHEN listens THEN 'listening' ELSE 'pending' END, now_ours::integer,
           %(now)s, CASE WHEN now_ours THEN %(until)s::timestamptz ELSE %(now)s::timestamptz END, CASE WHEN off THEN %(now)s::timestamptz END, created_at
    FROM placed
    ON CONFLICT DO NOTHING
    RETURNING *
), taken AS (
    SELECT {delivery}
    FROM d JOIN due o ON o.id = d.event_id JOIN tenants t ON t.id = d.tenant_id
    LEFT JOIN webhook_endpoints e ON e.id = d.endpoint_id
    WHERE d.tries = 1
)
SELECT (SELECT count(*) FROM due) AS events, taken.* FROM (VALUES (1)) one LEFT JOIN taken ON true
ORDER BY taken.lane, taken.call_id, taken.sequence;

-- name: claim_due
-- What waits for its next try, ends first. What an endpoint that is off or gone was to hear is passed over (and shown so).
WITH ends AS MATERIALIZED (
    SELECT d.id, d.endpoint_id FROM webhook_deliveries d
    WHERE d.status = 'pending' AND d.lane = 0 AND d.next_at <= %(now)s
    ORDER BY d.next_at LIMIT %(ends_room)s FOR NO KEY UPDATE SKIP LOCKED
), others AS MATERIALIZED (
    SELECT d.id, d.endpoint_id FROM webhook_deliveries d
    WHERE d.status = 'pending' AND d.lane = 1 AND d.next_at <= %(now)s
    ORDER BY d.next_at LIMIT greatest(%(room)s - (SELECT count(*) FROM ends), 0) FOR NO KEY UPDATE SKIP LOCKED
), due AS (
    SELECT w.id, e.disabled_at IS NOT NULL OR e.deleted_at IS NOT NULL AS off
    FROM (SELECT * FROM ends UNION ALL SELECT * FROM others) w LEFT JOIN webhook_endpoints e ON e.id = w.endpoint_id
), d AS (
    UPDATE webhook_deliveries d SET
        status = CASE WHEN due.off THEN 'skipped' ELSE d.status END, ended_at = CASE WHEN due.off THEN %(now)s::timestamptz END,
        tries = d.tries + CASE WHEN due.off THEN 0 ELSE 1 END,
        next_at = CASE WHEN due.off THEN d.next_at ELSE %(until)s::timestamptz END
    FROM due WHERE d.id = due.id
    RETURNING d.*
)
SELECT {delivery}, d.status = 'skipped' AS off
FROM d JOIN tenants t ON t.id = d.tenant_id LEFT JOIN outbox o ON o.id = d.event_id
LEFT JOIN webhook_endpoints e ON e.id = d.endpoint_id
ORDER BY d.lane, d.call_id, d.sequence;

-- name: delivered
WITH done AS (
    UPDATE webhook_deliveries SET status = 'delivered', ended_at = %(now)s, last_code = %(code)s, last_error = NULL,
        attempts = CASE WHEN jsonb_array_length(attempts) < %(most)s THEN attempts ELSE attempts - 0 END || %(attempt)s
    WHERE id = %(id)s AND status = 'pending'
    RETURNING endpoint_id
)
UPDATE webhook_endpoints e SET failing_since = NULL FROM done WHERE e.id = done.endpoint_id AND e.failing_since IS NOT NULL;

-- name: failed
-- It is tried again at next_at, or (NULL) given up; one that another dispatcher has delivered meanwhile stays delivered. An
-- endpoint that is gone, or has only failed since `failing_before`, is disabled: its row is returned then.
WITH done AS (
    UPDATE webhook_deliveries SET last_code = %(code)s, last_error = %(error)s,
        status = CASE WHEN %(next_at)s::timestamptz IS NULL THEN 'failed' ELSE status END,
        ended_at = CASE WHEN %(next_at)s::timestamptz IS NULL THEN %(now)s::timestamptz END, next_at = coalesce(%(next_at)s, next_at),
        attempts = CASE WHEN jsonb_array_length(attempts) < %(most)s THEN attempts ELSE attempts - 0 END || %(attempt)s
    WHERE id = %(id)s AND status = 'pending'
    RETURNING endpoint_id
), hit AS (
    UPDATE webhook_endpoints e SET failing_since = coalesce(e.failing_since, %(now)s::timestamptz),
        disabled_at = CASE WHEN %(gone)s::boolean OR e.failing_since < %(failing_before)s THEN %(now)s::timestamptz END,
        disabled_reason = CASE WHEN %(gone)s::boolean THEN 'gone' WHEN e.failing_since < %(failing_before)s THEN 'failing' END
    FROM done WHERE e.id = done.endpoint_id AND e.disabled_at IS NULL
      AND (e.failing_since IS NULL OR %(gone)s::boolean OR e.failing_since < %(failing_before)s)
    RETURNING e.id, e.disabled_at
)
SELECT id FROM hit WHERE disabled_at IS NOT NULL;

-- name: hand_back
-- They were claimed and not tried: no try is used up.
UPDATE webhook_deliveries d SET next_at = n.next_at, tries = greatest(d.tries - 1, 0), last_error = %(reason)s
FROM unnest(%(ids)s::uuid[], %(next_at)s::timestamptz[]) AS n(id, next_at)
WHERE d.id = n.id AND d.status = 'pending';

-- name: backlog
SELECT (SELECT count(*) FROM outbox WHERE delivered_at IS NULL AND failed_at IS NULL)
     + (SELECT count(*) FROM webhook_deliveries WHERE status = 'pending');

-- name: forget_deliveries
DELETE FROM webhook_deliveries WHERE id IN (
    SELECT id FROM webhook_deliveries WHERE id < %(before)s AND status <> 'pending' ORDER BY id LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED);

-- name: forget_events
-- An event stays for as long as any of its deliveries: without it that could not be told again.
DELETE FROM outbox WHERE id IN (
    SELECT o.id FROM outbox o
    WHERE o.id < %(before)s AND (o.delivered_at IS NOT NULL OR o.failed_at IS NOT NULL)
      AND NOT EXISTS (SELECT FROM webhook_deliveries d WHERE d.event_id = o.id)
    ORDER BY o.id LIMIT %(limit)s FOR UPDATE SKIP LOCKED);
