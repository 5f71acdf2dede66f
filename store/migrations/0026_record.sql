-- What an agent of ours or a customer's own asks of us in a call, and hands in after it: a key per tenant that signs call tokens, an
-- agent's own settings for its calls, and what each agent of an attempt says came of it. It only adds: processes of the version
-- before go on beside it.
--
-- The strongest lock of each table first, and in everybody's order. Of what there is only tenants, which is small, is written anew.

ALTER TABLE tenants ADD COLUMN call_token_key bytea NOT NULL
    DEFAULT decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex')
    CHECK (octet_length(call_token_key) = 32);
COMMENT ON COLUMN tenants.call_token_key IS 'signs the tokens of its calls (calls/call_token.py); shown to nobody';

ALTER TABLE agents
    ADD COLUMN runtime jsonb NOT NULL DEFAULT '{}',
    ADD CONSTRAINT agents_runtime_shape CHECK (jsonb_typeof(runtime) = 'object') NOT VALID;
COMMENT ON COLUMN agents.runtime IS 'prompt, voice, tools, variables and what else its calls are to be given (docs/runtime.md)';

-- What the agent says of an attempt, as it says it. No rule here looks into what was said: a row that breaks one would be quoted
-- in the log.
CREATE TABLE call_results (
    attempt_id      uuid NOT NULL REFERENCES attempts,
    agent_id        uuid NOT NULL REFERENCES agents,   -- whose it is; a call that was handed on had several
    call_id         uuid NOT NULL REFERENCES calls,
    tenant_id       uuid NOT NULL REFERENCES tenants,
    outcome         text NOT NULL,
    summary         text,
    body            jsonb,                          -- data, transcript, latencies, tool calls, recording parts; NULL: erased
    turns           integer NOT NULL,               -- of the transcript
    tool_calls      integer NOT NULL,
    fingerprint     bytea NOT NULL CHECK (octet_length(fingerprint) = 32),  -- SHA-256 of what was sent, in one form
    received_at     timestamptz NOT NULL,
    retention_until timestamptz NOT NULL,
    erased_at       timestamptz,
    PRIMARY KEY (attempt_id, agent_id)
);
CREATE INDEX call_results_call ON call_results (call_id);
CREATE INDEX call_results_retention ON call_results (retention_until) WHERE erased_at IS NULL;

-- A tenant's request sees its own alone (0017).
SELECT guard_tenant_table('call_results', written => 'tenant_id = current_tenant() AND NOT is_foreign_call(call_id)',
    rights => 'SELECT, INSERT, UPDATE');
