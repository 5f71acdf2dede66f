-- name: agent_for
SELECT a.id AS attempt_id, c.id AS call_id, c.tenant_id, a.number, a.state, a.switch, c.to_number, c.from_number,
       g.id AS agent_id, g.name AS agent_name, g.kind AS agent_kind, g.url AS agent_url, g.audio AS agent_audio,
       g.pool AS agent_pool, g.seat_policy AS agent_seat_policy,
       (SELECT p.token_key FROM agent_pools p WHERE p.name = g.pool) AS agent_pool_key,
       c.agent_variables, c.metadata, c.client_reference, c.max_duration_s, c.recording,
       c.direction, t.call_token_key AS token_key, g.protocol AS agent_protocol, g.fallback AS agent_fallback,
       CASE WHEN g.next_secret_at <= now() THEN g.next_secret ELSE g.secret END AS agent_secret,
       r.state AS recording_state, g.greeting AS agent_greeting, g.sample_rate AS agent_sample_rate, g.script AS agent_script, g.menu AS agent_menu, g.voice AS agent_voice, g.number AS agent_number, a.menu,
       (SELECT jsonb_build_object('id', m.id, 'audio', m.args ->> 'audio', 'by', m.requested_by, 'action', m.action)
        FROM call_commands m WHERE m.attempt_id = a.id AND m.verb = 'hold' AND m.done_at IS NULL AND m.begun_at IS NOT NULL
        ORDER BY m.created_at DESC LIMIT 1) AS held,
       c.transfer_of, (SELECT f.id FROM attempts f WHERE f.call_id = c.transfer_of AND f.state = 'in_progress') AS first_attempt
FROM attempts a JOIN calls c ON c.id = a.call_id JOIN agents g ON g.id = c.agent_id JOIN tenants t ON t.id = c.tenant_id
LEFT JOIN recordings r ON r.attempt_id = a.id
WHERE a.id = %(attempt_id)s;

-- name: note
INSERT INTO call_events (call_id, attempt_id, dedupe, source, type, at, data)
SELECT a.call_id, a.id, %(dedupe)s, 'relay', %(type)s, %(at)s, %(data)s FROM attempts a WHERE a.id = %(attempt_id)s
ON CONFLICT (call_id, dedupe) DO NOTHING;

-- name: heard
-- The agent's first audio is a time of the attempt as well; that of a relay which took the call up on its way is not the first.
UPDATE attempts SET agent_heard_at = %(at)s WHERE id = %(attempt_id)s AND agent_heard_at IS NULL;
