-- name: get
SELECT r.destinations, r.hours, r.hours_reason, r.time_zone, r.consent, r.changed_at FROM tenant_rules r
WHERE r.tenant_id = %(tenant_id)s;

-- name: set
-- Only what is named in the changes; a tenant that had nothing set has defaults else.
INSERT INTO tenant_rules AS r (tenant_id, hours, hours_reason, time_zone, consent)
SELECT t.id, coalesce(n.hours, 'country'), n.hours_reason, n.time_zone, n.consent
FROM tenants t CROSS JOIN jsonb_populate_record(NULL::tenant_rules, %(changes)s) n WHERE t.id = %(tenant_id)s
ON CONFLICT (tenant_id) DO UPDATE SET (hours, hours_reason, time_zone, consent, changed_at) = (
    SELECT m.hours, m.hours_reason, m.time_zone, m.consent, now() FROM jsonb_populate_record(r, %(changes)s) m)
RETURNING r.destinations, r.hours, r.hours_reason, r.time_zone, r.consent, r.changed_at;

-- name: put_destinations
INSERT INTO tenant_rules AS r (tenant_id, destinations)
SELECT t.id, %(entries)s::jsonb FROM tenants t WHERE t.id = %(tenant_id)s
ON CONFLICT (tenant_id) DO UPDATE SET destinations = r.destinations || excluded.destinations, changed_at = now()
RETURNING r.destinations, r.hours, r.hours_reason, r.time_zone, r.consent, r.changed_at;

-- name: remove_destinations
UPDATE tenant_rules r SET destinations = r.destinations - %(matches)s::text[], changed_at = now()
WHERE r.tenant_id = %(tenant_id)s
RETURNING r.destinations, r.hours, r.hours_reason, r.time_zone, r.consent, r.changed_at;

-- name: put_caller_id
-- With it its tenant has rules, if only this one.
WITH rules AS (
    INSERT INTO tenant_rules (tenant_id) SELECT t.id FROM tenants t WHERE t.id = %(tenant_id)s
    ON CONFLICT (tenant_id) DO NOTHING
)
INSERT INTO caller_ids AS k (tenant_id, number, block, how, reference)
SELECT t.id, %(number)s, %(block)s, %(how)s, %(reference)s FROM tenants t WHERE t.id = %(tenant_id)s
ON CONFLICT (tenant_id, number) DO UPDATE SET block = excluded.block, how = excluded.how, reference = excluded.reference
RETURNING k.number, k.block, k.how, k.reference, k.created_at;

-- name: remove_caller_id
DELETE FROM caller_ids WHERE tenant_id = %(tenant_id)s AND number = %(number)s;

-- name: list_caller_ids
-- Those that were given to the tenant, and the numbers on which it is called; each number once.
SELECT DISTINCT ON (x.number COLLATE "C") x.number, x.block, x.how, x.reference, x.created_at FROM (
    SELECT k.number, k.block, k.how, k.reference, k.created_at, 1 AS rank FROM caller_ids k WHERE k.tenant_id = %(tenant_id)s
    UNION ALL
    SELECT n.number, false, 'inbound', NULL, n.created_at, 2 FROM numbers n WHERE n.tenant_id = %(tenant_id)s) x
WHERE %(after)s::text IS NULL OR x.number COLLATE "C" > %(after)s::text COLLATE "C"
ORDER BY x.number COLLATE "C", x.rank
LIMIT %(limit)s;

-- name: get_caller_id
SELECT k.number, k.block, k.how, k.reference, k.created_at FROM caller_ids k
WHERE k.tenant_id = %(tenant_id)s AND k.number = %(number)s
UNION ALL
SELECT n.number, false, 'inbound', NULL, n.created_at FROM numbers n
WHERE n.tenant_id = %(tenant_id)s AND n.number = %(number)s
LIMIT 1;

-- name: without_rules
SELECT t.id, t.name FROM tenants t WHERE NOT EXISTS (SELECT FROM tenant_rules r WHERE r.tenant_id = t.id) ORDER BY t.name;

-- name: blocked
-- By end reason, of the newest calls alone: they are found by their ids.
SELECT n.end_reason, count(*) FROM (SELECT c.status, c.end_reason FROM calls c ORDER BY c.id DESC LIMIT %(limit)s) n
WHERE n.status = 'blocked' GROUP BY n.end_reason ORDER BY count(*) DESC, n.end_reason;

-- name: used
-- What a tenant's newest calls dialed and showed.
SELECT c.to_number, c.from_number FROM calls c
WHERE c.tenant_id = %(tenant_id)s AND c.direction = 'outbound' ORDER BY c.id DESC LIMIT %(limit)s;
