-- name: claim
-- One statement. The locks are taken in the order of everybody: the call, then the attempt; the epoch's row is held so
-- that a new epoch waits for claims under way and sees them. Where a lock had to be waited for, Postgres checks the
-- conditions again on the row as it is then. What is due, what has expired and how long silence may last is judged by one
-- clock for all hosts, the database's, unless the caller gives another.
WITH epoch AS (
    SELECT b.epoch FROM budget_epoch b WHERE b.epoch = %(epoch)s FOR SHARE
), call AS (
    SELECT c.id, c.agent_id, c.test, t.name AS tenant_name, coalesce(c.webhook_url, t.webhook_url, t.webhook_also) AS hook
    FROM calls c JOIN tenants t ON t.id = c.tenant_id
    WHERE c.id = (SELECT call_id FROM attempts WHERE id = %(attempt_id)s)
      AND NOT c.ended AND NOT c.cancel_requested AND NOT t.paused
      -- Of a tenant with caps the claims come one after the other, each in a transaction of its own.
      AND NOT (%(together)s AND t.capped AND NOT c.test)
      AND (t.canceled_before IS NULL OR c.created_at > t.canceled_before)
      AND NOT EXISTS (SELECT FROM batches b WHERE b.id = c.batch_id AND b.canceled_at IS NOT NULL)
      AND c.expires_at > coalesce(%(clock)s::timestamptz, statement_timestamp())
      AND NOT EXISTS (SELECT FROM agents g WHERE g.id = c.agent_id AND g.paused)
      AND NOT EXISTS (SELECT FROM switches s WHERE s.name = %(switch)s AND s.drained_at IS NOT NULL)
      -- Who is put through is on one switch, and only there can be.
      AND (c.transfer_of IS NULL OR EXISTS (SELECT FROM attempts f WHERE f.call_id = c.transfer_of AND f.state = 'in_progress'
                                            AND f.switch = %(switch)s))
    FOR NO KEY UPDATE OF c
), claimed AS (
    UPDATE attempts a SET
        state = 'dialing', fence = %(fence)s, epoch = epoch.epoch, switch = %(switch)s, carrier_id = k.id,
        gateway = e.gateway, claimed_at = coalesce(%(clock)s::timestamptz, statement_timestamp()), probes = 0,
        deadline_at = coalesce(%(clock)s::timestamptz, statement_timestamp()) + make_interval(secs => coalesce(k.pdd_s, %(pdd_s)s))
    FROM epoch, call, carriers k
    CROSS JOIN LATERAL (
        -- Every attempt has its own order of the carrier's endpoints, so they share evenly; those whose pings this switch has
        -- just seen unanswered come last.
        SELECT p.gateway FROM endpoints p WHERE p.carrier_id = k.id AND p.enabled
          -- A gateway that is rendered is dialed where the switch is known to have it.
          AND (p.name IS NULL OR EXISTS (SELECT FROM gateway_loads l WHERE l.switch = %(switch)s AND l.gateway = p.gateway
                                         AND l.state = 'loaded'))
        ORDER BY EXISTS (SELECT FROM gateway_states s WHERE s.switch = %(switch)s AND s.gateway = p.gateway AND NOT s.up
                         AND s.seen_at > statement_timestamp() - interval '1 minute'),
                 md5(p.id::text || %(attempt_id)s::uuid::text) LIMIT 1
    ) e
    WHERE a.id = %(attempt_id)s AND a.call_id = call.id AND a.state = 'queued'
      AND a.due_at <= coalesce(%(clock)s::timestamptz, statement_timestamp())
      AND (a.dial_until IS NULL OR a.dial_until >= coalesce(%(clock)s::timestamptz, statement_timestamp()))
      AND k.id = %(carrier_id)s AND NOT k.paused
      -- The laboratory's switches dial its carriers alone, which take calls of test keys alone; and nobody else does either.
      AND k.lab = %(lab)s AND call.test = k.lab
      AND (%(duty)s::bigint IS NULL
           OR %(duty)s = (SELECT s.duty_fence FROM switches s WHERE s.name = %(switch)s::text))
    RETURNING {attempt}, call.tenant_name, call.agent_id, coalesce(k.pdd_s, %(pdd_s)s) AS pdd_s,
        -- Told once per attempt: not again after a claim that was given back.
        CASE WHEN NOT EXISTS (SELECT FROM call_events v WHERE v.call_id = a.call_id AND v.attempt_id = a.id
                              AND v.type = 'attempt.unclaimed') THEN call.hook END AS hook
), told AS (
    UPDATE calls c SET status = 'dialing', status_at = coalesce(%(clock)s::timestamptz, statement_timestamp()),
        sequence = c.sequence + CASE WHEN claimed.hook IS NULL THEN 0 ELSE 1 END
    FROM claimed WHERE c.id = claimed.call_id
    RETURNING {call}, c.early
), logged AS (
    INSERT INTO call_events (call_id, attempt_id, dedupe, source, type, at, data)
    SELECT a.call_id, a.id, 'claim:' || a.id || ':' || a.epoch || ':' || a.fence, 'budget', 'attempt.claimed', a.claimed_at,
           jsonb_build_object('switch', a.switch, 'gateway', a.gateway, 'fence', a.fence, 'epoch', a.epoch)
    FROM claimed a
    ON CONFLICT (call_id, dedupe) DO NOTHING
)
-- And when dials were made that may have rung: of the call, and where that is capped, of others to its number. And what the
-- tenant may.
SELECT a.hook, a.tenant_name, CASE WHEN c.transfer_of IS NULL THEN g.kind ELSE 'sip' END,
       CASE WHEN c.transfer_of IS NOT NULL AND c.route = g.trunk AND c.to_number = g.number THEN g.trunk_user END,
       a.pdd_s, coalesce(%(clock)s::timestamptz, statement_timestamp()),
       CASE WHEN a.number > 1 THEN ARRAY(
           SELECT o.claimed_at FROM (
               SELECT a.* FROM attempts a WHERE a.call_id = c.id AND a.id <> %(attempt_id)s AND {rang}) o) END,
       CASE WHEN c.retry ->> 'number_per_day' IS NOT NULL THEN
           number_rang(c.tenant_id, c.to_number, coalesce(%(clock)s::timestamptz, statement_timestamp()) - %(reach)s::interval,
                       %(attempt_id)s, %(quiet)s) END,
       {standing} || {way} || {caps},
       {call}, {attempt}
FROM claimed a JOIN told c ON c.id = a.call_id JOIN agents g ON g.id = a.agent_id JOIN tenants t ON t.id = c.tenant_id;

-- name: why_refused
SELECT CASE
    WHEN c.cancel_requested OR c.status = 'canceled' THEN 'canceled'
    WHEN NOT c.ended AND c.created_at <= t.canceled_before AND a.state = 'queued' THEN 'canceled'
    WHEN NOT c.ended AND a.state = 'queued'
         AND EXISTS (SELECT FROM batches b WHERE b.id = c.batch_id AND b.canceled_at IS NOT NULL) THEN 'canceled'
    WHEN a.state <> 'queued' THEN 'not_queued'
    WHEN c.expires_at <= coalesce(%(clock)s::timestamptz, statement_timestamp()) THEN 'expired'
    WHEN a.due_at > coalesce(%(clock)s::timestamptz, statement_timestamp()) THEN 'not_due'
    WHEN a.dial_until < coalesce(%(clock)s::timestamptz, statement_timestamp()) THEN 'window'
    WHEN t.paused OR k.paused THEN 'paused'
    WHEN k.lab <> %(lab)s OR c.test <> k.lab THEN 'lab'
    WHEN EXISTS (SELECT FROM agents g WHERE g.id = c.agent_id AND g.paused) THEN 'agent_paused'
    WHEN EXISTS (SELECT FROM switches s WHERE s.name = %(switch)s AND s.drained_at IS NOT NULL) THEN 'drained'
    WHEN c.transfer_of IS NOT NULL AND NOT EXISTS (SELECT FROM attempts f WHERE f.call_id = c.transfer_of
                                                   AND f.state = 'in_progress' AND f.switch = %(switch)s) THEN 'elsewhere'
    WHEN b.epoch <> %(epoch)s THEN 'epoch'
    WHEN %(duty)s::bigint IS NOT NULL
         AND %(duty)s IS DISTINCT FROM (SELECT s.duty_fence FROM switches s WHERE s.name = %(switch)s::text) THEN 'off_duty'
    WHEN NOT EXISTS (SELECT FROM endpoints e WHERE e.carrier_id = k.id AND e.enabled
                     AND (e.name IS NULL OR EXISTS (SELECT FROM gateway_loads l WHERE l.switch = %(switch)s
                                                    AND l.gateway = e.gateway AND l.state = 'loaded'))) THEN 'no_endpoint'
    ELSE 'not_queued'  -- it changed in between; the next try will tell
END, coalesce(k.pdd_s, %(pdd_s)s), coalesce(%(clock)s::timestamptz, statement_timestamp())
FROM attempts a JOIN calls c ON c.id = a.call_id JOIN tenants t ON t.id = c.tenant_id CROSS JOIN budget_epoch b
LEFT JOIN carriers k ON k.id = %(carrier_id)s
WHERE a.id = %(attempt_id)s;

-- name: unlane
-- Popped from its lane, and refused for a reason that passes: the feeder is to lane it again, but not before its agent is
-- resumed, if that is paused (as in laning.sql).
UPDATE attempts a SET pushed_epoch = CASE WHEN g.paused THEN -1 - g.hold_number END,
                      pushed_at = CASE WHEN g.paused THEN a.due_at END
FROM calls c JOIN agents g ON g.id = c.agent_id
WHERE a.id = %(attempt_id)s AND a.state = 'queued' AND c.id = a.call_id;

-- name: lock_call_of
SELECT c.id, c.cancel_requested,
       (SELECT m.requested_by FROM call_commands m
        WHERE m.attempt_id = %(attempt_id)s AND m.verb = 'hangup' ORDER BY m.id LIMIT 1)
FROM calls c WHERE c.id = (SELECT call_id FROM attempts WHERE id = %(attempt_id)s)
FOR NO KEY UPDATE OF c;

-- name: unclaim
WITH given_back AS (
    UPDATE attempts a SET
        state = 'queued', deadline_at = NULL, claimed_at = NULL, switch = NULL, carrier_id = NULL, gateway = NULL,
        fence = NULL, epoch = NULL, pushed_epoch = NULL, pushed_at = NULL
    WHERE a.id = %(attempt_id)s AND a.state = 'dialing' AND a.fence = %(fence)s
      AND NOT EXISTS (SELECT FROM call_events v WHERE v.call_id = a.call_id AND v.attempt_id = a.id
                      AND v.type LIKE 'attempt.%%' AND v.source IN ('event', 'cdr', 'reconcile'))
    RETURNING a.id, a.call_id
)
INSERT INTO call_events (call_id, attempt_id, dedupe, source, type, at)
SELECT call_id, id, 'unclaim:' || id || ':' || %(fence)s::bigint || ':' || extract(epoch FROM %(now)s::timestamptz),
       'budget', 'attempt.unclaimed', %(now)s
FROM given_back;

-- name: requeue_call
UPDATE calls SET status = 'queued', status_at = %(now)s WHERE id = %(call_id)s AND status = 'dialing';
