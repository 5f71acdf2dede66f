-- name: ask
-- All that the rules want of a call that is about to be accepted, and where its number leads: one question.
SELECT CASE WHEN c.test THEN (SELECT r.name FROM routes r WHERE r.name = %(test_route)s AND r.prefix = %(no_number)s LIMIT 1)
       ELSE (SELECT r.name FROM routes r WHERE r.prefix = ANY(%(prefixes)s) ORDER BY length(r.prefix) DESC, r.name LIMIT 1) END,
       (SELECT g.kind FROM agents g WHERE g.id = %(agent_id)s AND g.tenant_id = t.id),
       {standing},
       (SELECT g.needs FROM agents g WHERE g.id = %(agent_id)s AND g.tenant_id = t.id),
       (SELECT g.pool || CASE g.seat_policy WHEN 'at_answer' THEN ':at_answer' ELSE '' END
        FROM agents g WHERE g.id = %(agent_id)s AND g.tenant_id = t.id)
FROM tenants t CROSS JOIN (SELECT %(to_number)s::text AS to_number, %(from_number)s::text AS from_number, %(test)s::boolean AS test) c
WHERE t.id = %(tenant_id)s;

-- name: ask_each
-- The same for calls that come at the same moment, in their order, and whether the agent is there and paused.
SELECT CASE WHEN c.test THEN (SELECT r.name FROM routes r WHERE r.name = %(test_route)s AND r.prefix = %(no_number)s LIMIT 1)
       ELSE (SELECT r.name FROM routes r
             WHERE r.prefix = ANY(ARRAY(SELECT substr(c.to_number, 2, n) FROM generate_series(0, length(c.to_number) - 1) n))
             ORDER BY length(r.prefix) DESC, r.name LIMIT 1) END,
       g.kind, {standing}, CASE WHEN g.archived_at IS NULL THEN g.paused END, g.needs,
       g.pool || CASE g.seat_policy WHEN 'at_answer' THEN ':at_answer' ELSE '' END
FROM unnest(%(to_numbers)s::text[], %(from_numbers)s::text[], %(agent_ids)s::uuid[], %(tests)s::boolean[])
     WITH ORDINALITY AS c(to_number, from_number, agent_id, test, position)
JOIN tenants t ON t.id = %(tenant_id)s
LEFT JOIN agents g ON g.id = c.agent_id AND g.tenant_id = t.id
ORDER BY c.position;

-- name: ask_all
-- The same for many, in their order; routes and agents are few and read once by whoever has many calls.
SELECT {standing}
FROM (SELECT u.*, false AS test
      FROM unnest(%(to_numbers)s::text[], %(from_numbers)s::text[]) WITH ORDINALITY AS u(to_number, from_number, position)) c
JOIN tenants t ON t.id = %(tenant_id)s
ORDER BY c.position;

-- name: of_attempts
-- For attempts whose calls are locked.
SELECT a.id, CASE WHEN c.transfer_of IS NULL THEN g.kind ELSE 'sip' END, {standing} || {way} || {caps}
FROM attempts a JOIN calls c ON c.id = a.call_id JOIN tenants t ON t.id = c.tenant_id JOIN agents g ON g.id = c.agent_id
WHERE a.id = ANY(%(ids)s);

-- name: keep
UPDATE attempts a SET decision = n.decision
FROM jsonb_populate_recordset(NULL::attempts, %(rows)s) n WHERE a.id = n.id;

-- name: decisions
SELECT a.id, a.decision FROM attempts a JOIN calls c ON c.id = a.call_id
WHERE c.tenant_id = %(tenant_id)s AND c.id = %(id)s;
