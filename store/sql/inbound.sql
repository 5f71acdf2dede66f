-- name: line
-- Whose number it is, and what speaks against its calls just now.
SELECT n.number, n.tenant_id, n.agent_id, n.carrier_id, n.pool, coalesce(t.webhook_url, t.webhook_also) AS hook, t.paused OR g.paused AS paused,
       coalesce(k.counts_inbound, false) AS counts_inbound,
       t.recording, t.recording_allowed, t.recording_notice, t.recording_days, g.pool AS seats
FROM numbers n JOIN tenants t ON t.id = n.tenant_id JOIN agents g ON g.id = n.agent_id LEFT JOIN carriers k ON k.id = n.carrier_id
WHERE n.number = %(number)s AND n.enabled;

-- name: drained
SELECT FROM switches s WHERE s.name = %(switch)s AND s.drained_at IS NOT NULL;

-- name: sources
-- Where carriers may call from, and whether they count what they place.
SELECT e.carrier_id, e.address, k.counts_inbound FROM endpoints e JOIN carriers k ON k.id = e.carrier_id;

-- name: accept
-- Nothing when the attempt is there already: it was offered twice, or a controller before this one has taken it. Else when it
-- was received, when it expires, and its carrier's name.
WITH moment AS (
    SELECT coalesce(%(clock)s::timestamptz, statement_timestamp()) AS now
), new_call AS (
    INSERT INTO calls (id, tenant_id, agent_id, to_number, from_number, priority, route, lane, status, status_at,
        max_attempts, ring_timeout_s, max_duration_s, due_at, expires_at, metadata, agent_variables, sequence, created_at,
        direction, recording)
    SELECT %(id)s, %(tenant_id)s, %(agent_id)s, %(to_number)s, %(from_number)s, %(priority)s, %(route)s, %(lane)s, %(status)s,
        m.now, %(max_attempts)s, %(ring_timeout_s)s::int, %(max_duration_s)s, m.now,
        m.now + make_interval(secs => %(ring_timeout_s)s::int), '{}', '{}', %(sequence)s, m.now, %(direction)s,
        %(recording)s
    FROM moment m
    WHERE NOT EXISTS (SELECT FROM attempts a WHERE a.id = %(attempt_id)s)
    RETURNING id, created_at, expires_at
), new_attempt AS (
    INSERT INTO attempts (id, call_id, number, lane, state, due_at, deadline_at, switch, carrier_id, fence, claimed_at,
        created_at, inbound)
    SELECT %(attempt_id)s, c.id, 1, %(lane)s, 'dialing', c.created_at, c.created_at + make_interval(secs => %(pdd_s)s),
        %(switch)s, %(carrier_id)s, %(fence)s, c.created_at, c.created_at, true
    FROM new_call c
), new_event AS (
    INSERT INTO call_events (call_id, attempt_id, dedupe, source, type, at, data)
    SELECT c.id, %(attempt_id)s, 'received', %(source)s, 'call.received', c.created_at, %(data)s FROM new_call c
)
SELECT c.created_at, c.expires_at, (SELECT k.name FROM carriers k WHERE k.id = %(carrier_id)s) FROM new_call c;

-- name: known
SELECT call_id, state, fence FROM attempts WHERE id = %(attempt_id)s;

-- name: refuse
INSERT INTO callers_refused AS r (switch, reason, count, last_at, last_number)
VALUES (%(switch)s, %(reason)s, 1, %(now)s, %(number)s)
ON CONFLICT (switch, reason) DO UPDATE SET count = r.count + 1, last_at = excluded.last_at, last_number = excluded.last_number;
