-- What a call shows of itself, the actions dtmf and play, and agents that are put away. It only adds.

ALTER TABLE attempts ADD COLUMN agent_heard_at timestamptz;
COMMENT ON COLUMN attempts.agent_heard_at IS 'the callee began to hear the agent, as the relay saw it; NULL: not known';

ALTER TABLE calls ADD COLUMN answered_by_ms integer;
COMMENT ON COLUMN calls.answered_by_ms IS 'ms from the answer to the verdict in answered_by; NULL: there is none';

ALTER TABLE agents ADD COLUMN archived_at timestamptz;
COMMENT ON COLUMN agents.archived_at IS 'put away by its tenant: takes no new call; NULL: it is in use';

-- A name is taken by an agent that is in use, and free again when that is put away. Agents are few.
CREATE UNIQUE INDEX agents_name ON agents (tenant_id, name) WHERE archived_at IS NULL;
ALTER TABLE agents DROP CONSTRAINT agents_tenant_id_name_key;

-- NOT VALID: what is there was valid under the narrower rule.
ALTER TABLE call_commands
    ADD COLUMN begun_at timestamptz,
    DROP CONSTRAINT call_commands_verb_check,
    ADD CONSTRAINT call_commands_verb_check
        CHECK (verb IN ('hangup', 'probe', 'pause_recording', 'resume_recording', 'dtmf', 'play')) NOT VALID;
COMMENT ON COLUMN call_commands.begun_at IS 'play: the switch has it; whoever hears its end says what came of it';

-- A tenant's request (0017) tells by whom a call was carried.
GRANT SELECT (name) ON carriers TO trunkline_web;
