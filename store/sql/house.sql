-- name: get
SELECT h.destinations, h.changed_at FROM house_rules h;

-- name: put_destinations
UPDATE house_rules h SET destinations = h.destinations || %(entries)s::jsonb, changed_at = now()
RETURNING h.destinations, h.changed_at;

-- name: remove_destinations
UPDATE house_rules h SET destinations = h.destinations - %(matches)s::text[], changed_at = now()
RETURNING h.destinations, h.changed_at;
