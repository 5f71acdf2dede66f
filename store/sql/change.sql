-- name: by_id
-- For a transaction that finds everything by its id, until it ends: its statements are planned once and not for every call,
-- whose planning costs more than it does; and so that a plan made while a table was small is not one that reads all of it.
SELECT set_config('plan_cache_mode', 'force_generic_plan', true), set_config('enable_seqscan', 'off', true),
       set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true), set_config('jit', 'off', true);

-- name: lock_calls
-- Not FOR UPDATE: rows that merely refer to a call (events, webhooks) need not wait. With the one clock of all hosts.
SELECT {call}, coalesce(c.webhook_url, t.webhook_url, t.webhook_also), statement_timestamp()
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
-- How the attempts before each of these ended. Most are their call's first, and cost a look at their own row (OFFSET 0 keeps
-- it so: a planner that has not counted lately would rather read every attempt that ended).
SELECT a.call_id, a.id, a.number, a.retry_class, a.claimed_at, {rang}
FROM unnest(%(ids)s::uuid[]) AS e(id)
CROSS JOIN LATERAL (SELECT l.call_id, l.number FROM attempts l WHERE l.id = e.id AND l.number > 1 OFFSET 0) l
CROSS JOIN LATERAL (
    SELECT b.* FROM attempts b WHERE b.call_id = l.call_id AND b.number < l.number ORDER BY b.number OFFSET 0) a;

-- name: reject_texts
-- What the carriers of these attempts say in their own words, where anything is noted.
SELECT a.id, k.reject_texts FROM attempts a JOIN carriers k ON k.id = a.carrier_id
WHERE a.id = ANY(%(ids)s) AND k.reject_texts <> '[]';

-- name: number_history
-- When the other calls of these calls' tenants were dialed to the same numbers, and may have rung.
SELECT e.id, a.claimed_at
FROM unnest(%(ids)s::uuid[], %(tenants)s::uuid[], %(numbers)s::text[]) AS e(id, tenant_id, to_number)
CROSS JOIN LATERAL (
    SELECT c.id FROM calls c
    WHERE c.tenant_id = e.tenant_id AND c.to_number = e.to_number AND c.retry IS NOT NULL AND c.id <> e.id
      AND (NOT c.ended OR c.ended_at > %(since)s) OFFSET 0) o
CROSS JOIN LATERAL (
    SELECT a.claimed_at FROM attempts a WHERE a.call_id = o.id AND a.claimed_at > %(since)s AND {rang} OFFSET 0) a;

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
    decided = n.decided, said = n.said
FROM jsonb_populate_recordset(NULL::attempts, %(rows)s) n
WHERE a.id = n.id;

-- name: update_calls
UPDATE calls c SET
    status = CASE n.status WHEN 'early' THEN 'ringing' ELSE n.status END, early = n.status = 'early', status_at = n.status_at, end_reason = n.end_reason, sip_code = n.sip_code,
    q850_cause = n.q850_cause, hangup_by = n.hangup_by, attempt_count = n.attempt_count, due_at = n.due_at,
    sequence = n.sequence, answered_at = n.answered_at, ended_at = n.ended_at
FROM jsonb_populate_recordset(NULL::calls, %(rows)s) n
WHERE c.id = n.id;

-- name: insert_attempts
INSERT INTO attempts (id, call_id, number, lane, due_at, created_at, dial_until)
SELECT id, call_id, number, lane, due_at, created_at, dial_until FROM jsonb_populate_recordset(NULL::attempts, %(rows)s);

-- name: close_commands
UPDATE call_commands SET done_at = %(now)s, result = 'ended' WHERE attempt_id = ANY(%(ids)s) AND done_at IS NULL;
