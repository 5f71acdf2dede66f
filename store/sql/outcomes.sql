-- part: outcome
a.claimed_at, a.ringing_at, a.early_at, a.answered_at, a.ended_at, a.evidence, a.end_reason, a.retry_class, a.cause, a.sip_code,
a.sip_phrase, a.switch, split_part(a.lane, '.', 3) AS tenant, split_part(a.lane, '.', 4) AS route

-- part: standing
h.carrier_id, h.state, h.score, h.why, h.since, h.seen_at, h.stops, h.pause_until, h.judged_from, h.own_pdd_s, h.figures

-- name: recent
-- Per carrier the latest dialed, newest first: some of each sort, so that neither a crowd of calls that ring nor one
-- tenant's list of dead numbers hides the others. Looked at are the newest so many of each carrier, or all of the last
-- seconds in which a call may still wait for its first word, whichever reaches further back.
SELECT k.id AS carrier_id, r.claimed_at, r.ringing_at, r.early_at, r.answered_at, r.ended_at, r.evidence, r.end_reason,
       r.retry_class, r.cause, r.sip_code, r.sip_phrase, r.switch, r.tenant, r.route
FROM carriers k
CROSS JOIN LATERAL (
    SELECT s.*, count(*) FILTER (WHERE s.sort = 'waits') OVER running AS waits,
        count(*) FILTER (WHERE s.sort = 'known') OVER running AS known,
        count(*) FILTER (WHERE s.sort = 'neutral') OVER running AS neutral
    FROM (
        SELECT {outcome},
            CASE WHEN a.state = 'dialing' THEN 'waits'
                 WHEN a.ended_at IS NOT NULL AND a.retry_class IN ('bad_number', 'carrier_block', 'switch_local', 'not_sent',
                      'canceled', 'policy') AND a.cause <> 'GATEWAY_DOWN'
                      AND a.end_reason NOT IN ('incompatible_media', 'incompatible_signaling') THEN 'neutral'
                 ELSE 'known' END AS sort
        FROM attempts a
        WHERE a.carrier_id = k.id AND NOT a.inbound AND a.claimed_at > greatest(%(since)s, least(%(waiting)s, coalesce((
            SELECT n.claimed_at FROM attempts n WHERE n.carrier_id = k.id AND n.claimed_at > %(since)s
            ORDER BY n.claimed_at DESC OFFSET %(newest)s LIMIT 1), %(since)s)))
        ORDER BY a.claimed_at DESC LIMIT %(most)s
    ) s
    WINDOW running AS (ORDER BY s.claimed_at DESC ROWS UNBOUNDED PRECEDING)
) r
WHERE CASE r.sort WHEN 'waits' THEN r.waits <= %(wait)s WHEN 'known' THEN r.known <= %(know)s ELSE r.neutral <= 5 END
ORDER BY k.id, r.claimed_at DESC;

-- name: by_route
-- For people: what became of a carrier's latest calls, route by route and prefix by prefix (the first three digits).
SELECT a.carrier_id, {outcome}, substr(c.to_number, 2, 3) AS prefix
FROM (SELECT * FROM attempts d WHERE d.carrier_id = %(carrier_id)s AND d.claimed_at > %(since)s AND NOT d.inbound
      ORDER BY d.claimed_at DESC LIMIT %(scan)s) a
JOIN calls c ON c.id = a.call_id;

-- name: standings
SELECT {standing} FROM carriers k
CROSS JOIN LATERAL (SELECT * FROM carrier_health l WHERE l.carrier_id = k.id ORDER BY l.id DESC LIMIT 1) h
ORDER BY k.name;

-- name: history
SELECT {standing} FROM carrier_health h WHERE h.carrier_id = %(carrier_id)s ORDER BY h.id DESC LIMIT %(count)s;

-- name: enter
INSERT INTO carrier_health (carrier_id, state, score, why, since, seen_at, stops, pause_until, judged_from, own_pdd_s, figures)
SELECT carrier_id, state, score, why, since, seen_at, stops, pause_until, judged_from, own_pdd_s, figures
FROM jsonb_populate_recordset(NULL::carrier_health, %(rows)s) r
WHERE EXISTS (SELECT FROM carriers k WHERE k.id = r.carrier_id);

-- name: refresh
-- The same state still: its score, words and figures.
UPDATE carrier_health h SET score = r.score, why = r.why, seen_at = r.seen_at, stops = r.stops, pause_until = r.pause_until,
    judged_from = r.judged_from, own_pdd_s = r.own_pdd_s, figures = r.figures
FROM jsonb_populate_recordset(NULL::carrier_health, %(rows)s) r
WHERE h.id = (SELECT l.id FROM carrier_health l WHERE l.carrier_id = r.carrier_id ORDER BY l.id DESC LIMIT 1)
  AND h.state = r.state;

-- name: forget_old
DELETE FROM carrier_health h USING carriers k
WHERE h.carrier_id = k.id AND h.id < (SELECT l.id FROM carrier_health l WHERE l.carrier_id = k.id
                                      ORDER BY l.id DESC OFFSET %(keep)s - 1 LIMIT 1);

-- name: gateway_seen
INSERT INTO gateway_states (switch, gateway, up, since, seen_at, ping_ms)
VALUES (%(switch)s, %(gateway)s, %(up)s, %(now)s, %(now)s, %(ping_ms)s)
ON CONFLICT (switch, gateway) DO UPDATE SET
    since = CASE WHEN gateway_states.up IS DISTINCT FROM excluded.up THEN excluded.since ELSE gateway_states.since END,
    up = excluded.up, seen_at = excluded.seen_at, ping_ms = excluded.ping_ms;

-- name: gateways
-- Only what somebody has looked at lately: a switch whose controller is gone says nothing.
SELECT e.carrier_id, g.gateway, g.switch, g.up, g.since, g.seen_at, g.ping_ms
FROM endpoints e JOIN gateway_states g ON g.gateway = e.gateway
WHERE e.enabled AND g.seen_at > %(since)s
ORDER BY e.carrier_id, g.gateway, g.switch;
