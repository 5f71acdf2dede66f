-- name: first
-- The trunk as it may be had now: one that was given to another tenant meanwhile is none.
SELECT c.ended, CASE WHEN c.status = 'ringing' AND c.early THEN 'early' ELSE c.status END AS status, c.agent_id, g.transfer_to, g.number AS person,
       (SELECT w.name FROM agent_trunks w WHERE w.name = g.trunk AND (w.tenant_id IS NULL OR w.tenant_id = c.tenant_id)) AS trunk,
       c.test, c.to_number, c.from_number, c.direction, c.max_duration_s, c.transfer_of, c.recipient
FROM calls c JOIN agents g ON g.id = c.agent_id
WHERE c.tenant_id = %(tenant_id)s AND c.id = %(call_id)s;

-- name: pending
SELECT 1 FROM call_commands m
WHERE m.call_id = %(call_id)s AND m.verb = 'transfer' AND (m.done_at IS NULL OR m.result = 'transferred') LIMIT 1;

-- name: leg_of
UPDATE calls SET transfer_of = %(first)s WHERE id = %(id)s;

-- name: add
-- Under a name that no switch has: the relay carries it out, and no controller.
INSERT INTO call_commands (id, call_id, attempt_id, switch, verb, args, requested_by, created_at, action)
VALUES (%(id)s, %(call_id)s, %(attempt_id)s, %(switch)s::text || ' transfer', 'transfer', %(args)s, %(by)s, statement_timestamp(),
        %(action)s);

-- name: list_open
SELECT m.id AS command_id, m.attempt_id, m.action, l.id AS leg_id, l.status, coalesce(l.ended, false) AS ended, l.end_reason,
       g.id AS agent_id, g.name AS agent_name, g.url AS agent_url, g.protocol AS agent_protocol,
       g.fallback AS agent_fallback, g.voice AS agent_voice, g.sample_rate AS agent_sample_rate,
       CASE WHEN g.next_secret_at <= now() THEN g.next_secret ELSE g.secret END AS agent_secret,
       g.kind AS agent_kind, g.pool AS agent_pool, (SELECT p.token_key FROM agent_pools p WHERE p.name = g.pool) AS agent_pool_key
FROM call_commands m LEFT JOIN calls l ON l.id = (m.args ->> 'call')::uuid LEFT JOIN agents g ON g.id = (m.args ->> 'agent')::uuid
WHERE m.done_at IS NULL AND m.verb = 'transfer' AND m.switch = %(switch)s::text || ' transfer'
ORDER BY m.id;

-- name: bridged
-- By the attempt of the second leg.
UPDATE call_commands m SET done_at = %(now)s, result = %(result)s
FROM attempts a JOIN calls l ON l.id = a.call_id
WHERE a.id = %(attempt_id)s AND m.call_id = l.transfer_of AND m.verb = 'transfer' AND m.args ->> 'call' = l.id::text
  AND (m.done_at IS NULL OR m.result = 'ended');

-- name: agent
SELECT 1 FROM agents g
WHERE g.id = %(agent_id)s AND g.tenant_id = %(tenant_id)s AND g.kind IN ('websocket', 'fleet') AND g.archived_at IS NULL AND NOT g.paused;

-- name: hand_on
UPDATE calls SET agent_id = %(agent_id)s WHERE id = (SELECT m.call_id FROM call_commands m WHERE m.id = %(id)s) AND NOT ended;

-- name: counts_in
-- Held: nobody ends it between this and count_in.
SELECT a.id, a.lane, g.pool FROM call_commands m JOIN attempts a ON a.id = m.attempt_id JOIN agents g ON g.id = %(agent_id)s
WHERE m.id = %(id)s AND a.state = 'in_progress' FOR UPDATE OF a;

-- name: count_in
-- By the name of its lane it counts when the budget is rebuilt. It waits in none any more.
UPDATE attempts SET lane = %(lane)s WHERE id = %(attempt_id)s;

-- name: handed_on
UPDATE call_commands SET done_at = %(now)s, result = %(result)s WHERE id = %(id)s AND (done_at IS NULL OR result = 'ended');

-- name: legs
SELECT l.tenant_id, l.id FROM attempts a JOIN call_commands m ON m.call_id = a.call_id AND m.attempt_id = a.id AND m.verb = 'transfer'
JOIN calls l ON l.id = (m.args ->> 'call')::uuid
WHERE a.id = %(attempt_id)s AND NOT l.ended;

-- name: waited_for
-- Second legs of transfers that are under way, by the attempts of their first legs. OFFSET 0: those few commands come first.
SELECT m.attempt_id, l.tenant_id, l.id
FROM (SELECT attempt_id, (args ->> 'call')::uuid AS call_id FROM call_commands
      WHERE attempt_id = ANY(%(ids)s) AND done_at IS NULL AND verb = 'transfer' OFFSET 0) m
JOIN calls l ON l.id = m.call_id AND NOT l.ended;
