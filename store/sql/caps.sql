-- name: get
SELECT calls_per_minute, number_per_day, minutes_per_day, spend_per_day, new_prefixes_per_hour, reserve_s, time_zone
FROM tenant_caps WHERE tenant_id = %(tenant_id)s;

-- name: get_all
SELECT tenant_id, calls_per_minute, number_per_day, minutes_per_day, spend_per_day, new_prefixes_per_hour, reserve_s, time_zone
FROM tenant_caps;

-- name: used
-- As it is now, for whoever asks how much is left; no dial is meant. What was not settled yet is counted here.
SELECT u.found || jsonb_build_object(
    'reserve_s', k.reserve_s, 'seconds', (u.found ->> 'seconds')::bigint + n.seconds,
    'micros', (u.found ->> 'micros')::bigint + n.micros, 'running', (u.found ->> 'running')::bigint + n.running)
FROM tenant_caps k
CROSS JOIN (SELECT coalesce(%(clock)s::timestamptz, statement_timestamp()) AS moment) m
CROSS JOIN LATERAL (SELECT (m.moment AT TIME ZONE k.time_zone)::date AS today) t
CROSS JOIN LATERAL (SELECT caps_used(k.tenant_id, %(nobody)s, '', m.moment, t.today, %(quiet)s) AS found OFFSET 0) u
CROSS JOIN LATERAL (
    SELECT coalesce(sum(c.more_seconds), 0)::bigint AS seconds, coalesce(sum(c.more_micros), 0)::bigint AS micros,
           coalesce(sum(c.more_running), 0)::bigint AS running
    FROM caps_changed(k.tenant_id, %(nobody)s, m.moment, %(settle_after)s, NULL) c WHERE c.day = t.today) n
WHERE k.tenant_id = %(tenant_id)s;

-- name: settle
-- Of the tenants of these attempts. Under the locks of their calls, as at a claim.
SELECT settle_caps(t.id, %(nobody)s, coalesce(%(clock)s::timestamptz, statement_timestamp()), %(settle_after)s, %(known_for)s)
FROM (SELECT DISTINCT c.tenant_id FROM attempts a JOIN calls c ON c.id = a.call_id WHERE a.id = ANY(%(ids)s)) c
JOIN tenants t ON t.id = c.tenant_id WHERE t.capped;

-- name: least
-- The least that a dial counts with.
SELECT min(call_micros(k.reserve_s, p.minute_micros, p.attempt_micros, p.increment_s)) FROM tenant_caps k CROSS JOIN prices p
WHERE k.tenant_id = %(tenant_id)s;

-- name: ensure
INSERT INTO tenant_caps (tenant_id) VALUES (%(tenant_id)s) ON CONFLICT (tenant_id) DO NOTHING;

-- name: seed
-- Where its latest calls went is not new to it.
INSERT INTO cap_prefixes (tenant_id, prefix, first_at, last_at)
SELECT c.tenant_id, substr(c.to_number, 2, %(prefix_digits)s), '-infinity', max(c.created_at)
FROM (SELECT c.tenant_id, c.to_number, c.created_at FROM calls c
      WHERE c.tenant_id = %(tenant_id)s AND c.direction = 'outbound' AND NOT c.test AND c.created_at > statement_timestamp() - %(known_for)s::interval
        AND EXISTS (SELECT FROM attempts a WHERE a.call_id = c.id AND a.claimed_at IS NOT NULL)
      ORDER BY c.id DESC LIMIT 20000) c
GROUP BY 1, 2
ON CONFLICT (tenant_id, prefix) DO NOTHING;

-- name: update
UPDATE tenant_caps k SET (calls_per_minute, number_per_day, minutes_per_day, spend_per_day, new_prefixes_per_hour, reserve_s,
                          time_zone) = (
    SELECT n.calls_per_minute, n.number_per_day, n.minutes_per_day, n.spend_per_day, n.new_prefixes_per_hour, n.reserve_s,
           n.time_zone
    FROM jsonb_populate_record(k, %(changes)s) n)
WHERE k.tenant_id = %(tenant_id)s
RETURNING calls_per_minute, number_per_day, minutes_per_day, spend_per_day, new_prefixes_per_hour, reserve_s, time_zone;

-- name: remove
WITH uses AS (
    DELETE FROM cap_uses WHERE tenant_id = %(tenant_id)s
), days AS (
    DELETE FROM cap_days WHERE tenant_id = %(tenant_id)s
), prefixes AS (
    DELETE FROM cap_prefixes WHERE tenant_id = %(tenant_id)s
)
DELETE FROM tenant_caps WHERE tenant_id = %(tenant_id)s;

-- name: mark
UPDATE tenants SET capped = %(capped)s, held_until = NULL WHERE id = %(tenant_id)s;

-- name: hold
-- By id, so that two at once do not wait for each other.
UPDATE tenants t SET held_until = h.until
FROM (SELECT t.id, h.until FROM tenants t JOIN unnest(%(tenants)s::uuid[], %(until)s::timestamptz[]) AS h(id, until) ON t.id = h.id
      WHERE t.capped AND (t.held_until IS NULL OR t.held_until < h.until)
      ORDER BY t.id FOR NO KEY UPDATE OF t) h
WHERE t.id = h.id;

-- name: held_calls
-- Calls that wait for a later moment because of a cap, as their attempts' decisions say.
SELECT a.id, a.call_id FROM attempts a JOIN calls c ON c.id = a.call_id
WHERE a.lane = ANY(%(lanes)s) AND a.state = 'queued' AND a.due_at > statement_timestamp()
  AND c.tenant_id = %(tenant_id)s AND NOT c.ended
  AND jsonb_path_exists(a.decision, '$.findings[*] ? (@.rule == $caps[*])', jsonb_build_object('caps', %(caps)s::jsonb))
ORDER BY a.call_id, a.id LIMIT %(limit)s;

-- name: lanes
-- The tenant's lanes, from one to the next by their index.
WITH RECURSIVE lanes AS (
    (SELECT min(a.lane) AS lane FROM attempts a WHERE a.state = 'queued')
    UNION ALL
    SELECT (SELECT min(a.lane) FROM attempts a WHERE a.state = 'queued' AND a.lane > l.lane) FROM lanes l WHERE l.lane IS NOT NULL
)
SELECT lane FROM lanes WHERE lane IS NOT NULL AND split_part(lane, '.', 3) = %(hex)s;

-- name: lock_calls
SELECT id FROM calls WHERE id = ANY(%(calls)s) ORDER BY id FOR NO KEY UPDATE;

-- name: bring_back
WITH moved AS (
    UPDATE attempts a SET due_at = statement_timestamp(), pushed_epoch = NULL, pushed_at = NULL
    WHERE a.id = ANY(%(ids)s) AND a.state = 'queued'
    RETURNING a.call_id
)
UPDATE calls c SET due_at = statement_timestamp() FROM moved WHERE c.id = moved.call_id;

-- name: put_price
INSERT INTO prices AS p (prefix, minute_micros, attempt_micros, increment_s)
SELECT n.prefix, n.minute_micros, n.attempt_micros, n.increment_s FROM jsonb_populate_recordset(NULL::prices, %(rows)s) n
ORDER BY n.prefix
ON CONFLICT (prefix) DO UPDATE SET minute_micros = EXCLUDED.minute_micros, attempt_micros = EXCLUDED.attempt_micros,
    increment_s = EXCLUDED.increment_s, changed_at = statement_timestamp();

-- name: list_prices
SELECT prefix, minute_micros, attempt_micros, increment_s FROM prices ORDER BY prefix;

-- name: get_price
SELECT prefix, minute_micros, attempt_micros, increment_s FROM prices WHERE prefix = %(prefix)s;

-- name: page_prices
SELECT prefix, minute_micros, attempt_micros, increment_s FROM prices
WHERE %(after)s::text IS NULL OR prefix > %(after)s::text ORDER BY prefix LIMIT %(limit)s;

-- name: remove_price
DELETE FROM prices WHERE prefix = %(prefix)s;

-- name: price_of
SELECT prefix, minute_micros, attempt_micros, increment_s FROM prices WHERE prefix = ANY(%(prefixes)s)
ORDER BY length(prefix) DESC LIMIT 1;
