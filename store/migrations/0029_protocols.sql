-- How an agent's server is spoken to. It only adds: processes of the version before speak our own protocol to all, as they did.
ALTER TABLE agents ADD COLUMN protocol text NOT NULL DEFAULT 'trunkline' CHECK (protocol IN ('trunkline', 'twilio'));
COMMENT ON COLUMN agents.protocol IS 'of kind websocket: trunkline (docs/agent-protocol.md) or twilio (Media Streams)';

-- What signs the token that the agent's server is called with (calls/agent_token.py); NULL: it is called without one. Rotated, the
-- next one signs from its time on.
ALTER TABLE agents
    ADD COLUMN secret text CHECK (secret ~ '^agsec_[0-9a-f]{64}$'),
    ADD COLUMN next_secret text CHECK (next_secret ~ '^agsec_[0-9a-f]{64}$'),
    ADD COLUMN next_secret_at timestamptz,
    ADD CHECK ((next_secret IS NULL) = (next_secret_at IS NULL) AND (next_secret IS NULL OR secret IS NOT NULL));

-- What is done with a call whose agent fails it: {"action": "announcement", "audio": "sorry.wav"} or {"action": "hangup"}; NULL: hang up.
ALTER TABLE agents ADD COLUMN fallback jsonb CHECK (jsonb_typeof(fallback) = 'object');
