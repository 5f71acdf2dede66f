-- name: lock_calls
-- Not FOR UPDATE: rows that merely refer to a call (events, webhooks) need not wait.
SELECT {call}, coalesce(c.webhook_url, t.webhook_url)
FROM calls c JOIN tenants t ON t.id = c.tenant_id
WHERE c.id IN (SELECT call_id FROM attempts WHERE id = ANY(%(ids)s))
ORDER BY c.id FOR NO KEY UPDATE OF c;

-- name: lock_attempts
-- Those asked for, and the latest of each of their calls. One list of ids on purpose: an OR of the two walks the table.
WITH asked AS MATERIALIZED (
    SELECT id, call_id FROM attempts WHERE id = ANY(%(ids)s)
)
SELECT {attempt} FROM attempts a
WHERE a.id IN (
    SELECT id FROM asked
    UNION
    SELECT latest.id FROM (SELECT DISTINCT call_id FROM asked) c
    CROSS JOIN LATERAL (SELECT l.id FROM attempts l WHERE l.call_id = c.call_id ORDER BY l.number DESC LIMIT 1) latest
)
ORDER BY a.id FOR NO KEY UPDATE;

-- name: history
-- What the retry policy must know of what was before: how the calls' other attempts ended, and when dials were made that
-- may have rung, of the calls and, where that is capped, of all of the tenant's calls to the number.
WITH ours AS MATERIALIZED (
    SELECT c.id, c.tenant_id, c.to_number, c.retry FROM calls c
    WHERE c.id IN (SELECT call_id FROM attempts WHERE id = ANY(%(ids)s))
)
SELECT o.id, a.id, a.number, a.retry_class, a.claimed_at, {rang}
FROM ours o JOIN attempts a ON a.call_id = o.id AND a.state = 'ended'
UNION ALL
SELECT o.id, a.id, 0, NULL, a.claimed_at, true
FROM ours o
JOIN calls c ON c.tenant_id = o.tenant_id AND c.to_number = o.to_number AND c.retry IS NOT NULL AND c.id <> o.id
JOIN attempts a ON a.call_id = c.id
WHERE o.retry ->> 'number_per_day' IS NOT NULL AND (NOT c.ended OR c.ended_at > %(since)s) AND a.claimed_at > %(since)s
  AND {rang}
ORDER BY 3;

-- name: insert_evidence
INSERT INTO call_events (call_id, attempt_id, dedupe, source, type, at, data)
SELECT a.call_id, e.attempt_id, e.dedupe, e.source, e.type, e.at, e.data
FROM ROWS FROM (jsonb_populate_recordset(NULL::call_events, %(rows)s)) WITH ORDINALITY
     AS e(id, call_id, attempt_id, dedupe, source, type, at, data, recorded_at, position)
JOIN attempts a ON a.id = e.attempt_id
ORDER BY e.position
ON CONFLICT (call_id, dedupe) DO NOTHING
RETURNING attempt_id, dedupe;

-- name: update_attempts
UPDATE attempts a SET
    state = n.state, deadline_at = n.deadline_at, probes = n.probes, ringing_at = n.ringing_at, early_at = n.early_at,
    answered_at = n.answered_at, ended_at = n.ended_at, evidence = n.evidence, evidence_key = n.evidence_key,
    outcome = n.outcome, end_reason = n.end_reason, retry_class = n.retry_class, uncertain = n.uncertain,
    cause = n.cause, q850_cause = n.q850_cause, sip_code = n.sip_code, sip_phrase = n.sip_phrase,
    disposition = n.disposition, local = n.local, requested_by = n.requested_by, note = n.note, hangup_by = n.hangup_by,
    decided = n.decided
FROM jsonb_populate_recordset(NULL::attempts, %(rows)s) n
WHERE a.id = n.id;

-- name: update_calls
UPDATE calls c SET
    status = n.status, status_at = n.status_at, end_reason = n.end_reason, sip_code = n.sip_code,
    q850_cause = n.q850_cause, hangup_by = n.hangup_by, attempt_count = n.attempt_count, due_at = n.due_at,
    sequence = n.sequence, answered_at = n.answered_at, ended_at = n.ended_at
FROM jsonb_populate_recordset(NULL::calls, %(rows)s) n
WHERE c.id = n.id;

-- name: insert_attempts
INSERT INTO attempts (id, call_id, number, lane, due_at, created_at, dial_until)
SELECT id, call_id, number, lane, due_at, created_at, dial_until FROM jsonb_populate_recordset(NULL::attempts, %(rows)s);

-- name: close_commands
UPDATE call_commands SET done_at = %(now)s, result = 'ended' WHERE attempt_id = ANY(%(ids)s) AND done_at IS NULL;
