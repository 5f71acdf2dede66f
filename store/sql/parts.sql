-- Column lists of typed rows, in one place. Explicit on purpose: a prepared SELECT * fails when a migration adds a column.

-- part: tenant
t.id, t.name, t.webhook_url, t.webhook_secret, t.weight, t.paused, t.max_queued,
t.requests_per_s::float8 AS requests_per_s, t.canceled_before, t.created_at, t.recording, t.recording_allowed,
t.recording_notice, t.recording_days, t.held_until

-- part: covered
-- The tenant canceled all it had queued after this call was accepted, or the call's batch: what of it is not over is not dialed
-- any more, though nobody has written that into the call yet. A call that ended in another way had nothing left to cancel.
(c.status IN ('queued', 'dialing', 'ringing', 'in_progress', 'canceled')
 AND (EXISTS (SELECT FROM tenants ct WHERE ct.id = c.tenant_id AND c.created_at <= ct.canceled_before)
      OR EXISTS (SELECT FROM batches cb WHERE cb.id = c.batch_id AND cb.canceled_at IS NOT NULL)))

-- part: call
c.id, c.tenant_id, c.agent_id, c.to_number, c.from_number, c.priority, c.route, c.lane,
CASE WHEN c.status = 'ringing' AND c.early THEN 'early' ELSE c.status END AS status, c.status_at,
c.end_reason, c.sip_code, c.q850_cause, c.hangup_by, c.answered_by, c.attempt_count, c.max_attempts, c.ring_timeout_s,
c.max_duration_s, c.cancel_requested OR {covered} AS cancel_requested, c.due_at, c.expires_at, c.metadata, c.agent_variables, c.client_reference,
c.webhook_url, c.sequence, c.created_at, c.answered_at, c.ended_at, c.retry, c.dial_window, c.recording, c.direction, c.recipient,
c.consent, c.test, c.batch_id,
c.answered_by_ms, CASE WHEN c.recording IS NOT NULL
    THEN ARRAY(SELECT cr.id FROM recordings cr WHERE cr.call_id = c.id ORDER BY cr.id) ELSE '{}'::uuid[] END AS recording_ids,
c.transfer_of

-- part: attempt
a.id, a.call_id, a.number, a.lane, a.state, a.due_at, a.deadline_at, a.probes, a.pushed_epoch, a.pushed_at, a.switch,
a.carrier_id, a.gateway, a.fence, a.epoch, a.claimed_at, a.ringing_at, a.early_at, a.answered_at, a.ended_at, a.evidence,
a.evidence_key, a.outcome, a.end_reason, a.retry_class, a.uncertain, a.cause, a.q850_cause, a.sip_code, a.sip_phrase,
a.disposition, a.local, a.requested_by, a.note, a.hangup_by, a.decided, a.created_at, a.dial_until, a.said,
a.inbound, a.agent_heard_at, (SELECT ak.name FROM carriers ak WHERE ak.id = a.carrier_id) AS carrier,
a.menu

-- part: rang
-- Dialed, and not proven to have reached nobody: calls/retry.py, may_have_rung.
a.claimed_at IS NOT NULL AND NOT (a.state = 'ended' AND a.retry_class = ANY(%(quiet)s) AND a.ringing_at IS NULL
    AND a.early_at IS NULL AND a.answered_at IS NULL)


-- part: standing
-- What tenant t may at this moment, for a call c (to_number, from_number, test): calls/standing.py reads it. A rule that needs more
-- adds a member. Of a long list of destinations only what can decide for the number; one of less than 1 kB (some 250 entries, as it
-- is kept) is sooner sent than searched. No row: NULL, and nothing is dialed.
jsonb_build_object(
    'rules', (SELECT jsonb_build_object(
                  'destinations', CASE WHEN pg_column_size(r.destinations) < 1024 THEN r.destinations ELSE
                      (SELECT coalesce(jsonb_object_agg(e.key, e.value), '{}') FROM jsonb_each(r.destinations) e
                       WHERE NOT starts_with(e.key, '+') OR starts_with(c.to_number, e.key)) END,
                  'hours', r.hours, 'time_zone', r.time_zone, 'consent', r.consent)
              FROM tenant_rules r WHERE r.tenant_id = t.id),
    'house', (SELECT CASE WHEN pg_column_size(h.destinations) < 1024 THEN h.destinations ELSE
                  (SELECT coalesce(jsonb_object_agg(e.key, e.value), '{}') FROM jsonb_each(h.destinations) e
                   WHERE NOT starts_with(e.key, '+') OR starts_with(c.to_number, e.key)) END
              FROM house_rules h),
    'caller_id', coalesce(
        (SELECT k.how FROM caller_ids k
         WHERE k.tenant_id = t.id AND (k.block OR k.number = c.from_number)
           AND k.number = ANY(ARRAY(SELECT left(c.from_number, n) FROM generate_series(2, length(c.from_number)) n))
         ORDER BY length(k.number) DESC LIMIT 1),
        (SELECT 'inbound' FROM numbers n WHERE n.number = c.from_number AND n.tenant_id = t.id)),
    'test', c.test,
    'suppressed', CASE WHEN nobody_calls(c.to_number) THEN '{"everybody": true}'::jsonb ELSE
        (SELECT jsonb_build_object('id', s.id, 'everybody', false) FROM suppressions s
         WHERE s.number = c.to_number AND s.lifted_at IS NULL AND s.tenant_id = t.id LIMIT 1) END)

-- part: way
-- Of a second leg that goes by a trunk of its agent's (a route that no number leads to): whether the trunk, and who is behind it,
-- are not the agent's any more, or the trunk is another tenant's. Of every other call: nothing.
CASE WHEN c.transfer_of IS NOT NULL AND NOT c.test
      AND EXISTS (SELECT FROM routes wr WHERE wr.name = c.route AND starts_with(wr.prefix, '0'))
      AND NOT EXISTS (SELECT FROM agent_trunks w WHERE w.name = c.route AND w.name = g.trunk AND c.to_number = g.number
                      AND (w.tenant_id IS NULL OR w.tenant_id = c.tenant_id))
     THEN '{"trunk_lost": true}'::jsonb ELSE '{}' END

-- part: caps
-- How much of its caps the tenant t has used, for a dial of attempt a of call c, with "take" put down as one. Nobody else pays.
CASE WHEN t.capped AND NOT c.test THEN jsonb_build_object('caps', take_caps(
    c.tenant_id, a.id, c.to_number, c.max_duration_s, coalesce(%(clock)s::timestamptz, statement_timestamp()), %(take)s,
    %(quiet)s, %(prefix_digits)s, %(settle_after)s, %(known_for)s)) ELSE '{}' END
