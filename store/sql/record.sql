-- name: event_counts
-- What happened to a call, in short: how often each type, in the order in which each became known first.
SELECT e.type, e.source, count(*)::integer AS count, min(e.at) AS first_at, max(e.at) AS last_at
FROM call_events e JOIN calls c ON c.id = e.call_id
WHERE c.tenant_id = %(tenant_id)s AND c.id = %(call_id)s
GROUP BY e.type, e.source ORDER BY min(e.id);
