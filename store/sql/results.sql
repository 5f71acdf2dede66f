-- part: result
r.attempt_id, r.agent_id, r.call_id, r.tenant_id, r.outcome, r.summary, r.body, r.turns, r.tool_calls, r.fingerprint,
r.received_at, r.retention_until, r.erased_at

-- name: get
SELECT {result} FROM call_results r WHERE r.tenant_id = %(tenant_id)s AND r.attempt_id = %(attempt_id)s AND r.agent_id = %(agent_id)s;

-- name: insert
-- Kept as long as a recording of the call is, or would be.
INSERT INTO call_results AS r (attempt_id, agent_id, call_id, tenant_id, outcome, summary, body, turns, tool_calls,
                               fingerprint, received_at, retention_until)
SELECT a.id, g.id, c.id, c.tenant_id, %(outcome)s, %(summary)s, %(body)s, %(turns)s, %(tool_calls)s, %(fingerprint)s,
       %(now)s::timestamptz, %(now)s::timestamptz
           + make_interval(days => coalesce((c.recording->>'days')::integer, t.recording_days, %(days)s::integer))
FROM attempts a JOIN calls c ON c.id = a.call_id JOIN tenants t ON t.id = c.tenant_id
JOIN agents g ON g.id = %(agent_id)s AND g.tenant_id = c.tenant_id
WHERE a.id = %(attempt_id)s AND c.tenant_id = %(tenant_id)s
RETURNING {result};

-- name: list
SELECT {result} FROM call_results r JOIN attempts a ON a.id = r.attempt_id
WHERE r.tenant_id = %(tenant_id)s AND r.call_id = %(call_id)s ORDER BY a.number, r.received_at, r.agent_id;

-- name: of_call
SELECT r.attempt_id FROM call_results r WHERE r.tenant_id = %(tenant_id)s AND r.call_id = %(call_id)s AND r.erased_at IS NULL;

-- name: due
SELECT r.attempt_id FROM call_results r WHERE r.erased_at IS NULL AND r.retention_until <= %(now)s
ORDER BY r.retention_until LIMIT %(limit)s;

-- name: erase
-- What was said in those attempts goes, whichever of their agents handed it in, also out of the webhooks that told of it; that
-- there was a result, and its outcome, stays.
WITH gone AS (
    UPDATE call_results r SET summary = NULL, body = NULL, erased_at = %(now)s::timestamptz
    FROM (SELECT attempt_id, agent_id FROM call_results WHERE attempt_id = ANY(%(ids)s) AND erased_at IS NULL
          ORDER BY attempt_id, agent_id FOR NO KEY UPDATE) held
    WHERE r.attempt_id = held.attempt_id AND r.agent_id = held.agent_id
    RETURNING r.attempt_id, r.call_id
), untold AS (
    UPDATE outbox o SET body = o.body #- '{data,result,summary}'
    FROM gone WHERE o.call_id = gone.call_id AND o.type = 'call.result'
      AND o.body #>> '{data,result,attempt_id}' = gone.attempt_id::text
)
INSERT INTO call_events (call_id, attempt_id, dedupe, source, type, at)
SELECT call_id, attempt_id, 'result.erased:' || attempt_id, %(source)s, 'result.erased', %(now)s FROM gone
ON CONFLICT (call_id, dedupe) DO NOTHING;
