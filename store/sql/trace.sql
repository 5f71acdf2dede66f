-- name: find_call
SELECT {call} FROM calls c
WHERE c.id = %(id)s OR c.id = (SELECT a.call_id FROM attempts a WHERE a.id = %(id)s)
ORDER BY c.id = %(id)s DESC LIMIT 1;

-- name: lines
SELECT at, source, number, what, data FROM (
    SELECT e.at, e.id AS position, e.source, a.number, e.type AS what, e.data
    FROM call_events e LEFT JOIN attempts a ON a.id = e.attempt_id WHERE e.call_id = %(call_id)s
    UNION ALL
    SELECT m.created_at, 0, 'command', a.number, m.verb, jsonb_build_object('by', m.requested_by, 'switch', split_part(m.switch, ' ', 1))
    FROM call_commands m JOIN attempts a ON a.id = m.attempt_id WHERE m.call_id = %(call_id)s
    UNION ALL
    SELECT m.done_at, 0, 'command', a.number, m.verb || ' done', jsonb_build_object('result', m.result)
    FROM call_commands m JOIN attempts a ON a.id = m.attempt_id WHERE m.call_id = %(call_id)s AND m.done_at IS NOT NULL
    UNION ALL
    SELECT coalesce(d.ended_at, d.created_at, o.failed_at, o.delivered_at, o.created_at), 9223372036854775807, 'webhook',
           NULL::integer, o.type,
           jsonb_build_object('sequence', o.sequence, 'tries', coalesce(d.tries, o.tries), 'code', coalesce(d.last_code, o.last_code),
               'error', coalesce(d.last_error, o.last_error), 'endpoint', d.endpoint_id,
               'is', CASE WHEN d.status = 'failed' THEN 'given up' WHEN d.status = 'skipped' THEN 'passed over: its endpoint is off'
                          WHEN d.status = 'pending' THEN 'waiting' WHEN d.status IS NOT NULL THEN d.status
                          WHEN o.failed_at IS NOT NULL THEN 'given up' WHEN o.delivered_at IS NULL THEN 'waiting'
                          WHEN o.last_code IS NOT NULL THEN 'delivered' ELSE 'for nobody' END)
    FROM outbox o LEFT JOIN webhook_deliveries d ON d.event_id = o.id
    WHERE o.call_id = %(call_id)s
    UNION ALL
    SELECT a.pushed_at, 0, 'feeder', a.number, 'attempt.laned', jsonb_build_object('lane', a.lane, 'epoch', a.pushed_epoch)
    FROM attempts a WHERE a.call_id = %(call_id)s AND a.pushed_at IS NOT NULL
) line
ORDER BY at, position;
