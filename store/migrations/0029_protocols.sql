-- How an agent's server is spoken to. It only adds: processes of the version before speak our own protocol to all, as they did.
ALTER TABLE agents ADD COLUMN protocol text NOT NULL DEFAULT 'trunkline' CHECK (protocol IN ('trunkline', 'twilio'));
COMMENT ON COLUMN agents.protocol IS 'of kind websocket: trunkline (docs/agent-protocol.md) or twilio (Media Streams)';
