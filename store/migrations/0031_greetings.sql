-- Agents that greet by the switch, hear and speak 16,000 samples a second, and people behind a trunk of their own. It only adds: a
-- process of the version before knows none of these, and refuses them.

-- Trunks by name, for agents of kind sip: each is a route that no number leads to, and who may dial it.
CREATE TABLE agent_trunks (
    name        text PRIMARY KEY CHECK (name ~ '^[a-z0-9][a-z0-9-]{0,31}$'),
    tenant_id   uuid REFERENCES tenants                                      -- NULL: every tenant's agents may have it
);
COMMENT ON TABLE agent_trunks IS 'ways to switchboards, by the name of their route, that agents of kind sip may be reached by';
SELECT guard_tenant_table('agent_trunks', 'tenant_id IS NULL OR tenant_id = current_tenant()', 'false', 'SELECT');

ALTER TABLE agents
    ADD COLUMN greeting jsonb CHECK (jsonb_typeof(greeting) = 'object'),
    ADD COLUMN sample_rate integer NOT NULL DEFAULT 8000 CHECK (sample_rate IN (8000, 16000)),
    ADD COLUMN trunk text REFERENCES agent_trunks,
    ADD COLUMN trunk_user text CHECK (trunk_user ~ '^[A-Za-z0-9._+-]{1,64}$'),
    ADD CONSTRAINT agents_trunk CHECK (trunk IS NULL OR kind = 'sip') NOT VALID,
    ADD CONSTRAINT agents_trunk_user CHECK (trunk_user IS NULL OR trunk IS NOT NULL) NOT VALID;
COMMENT ON COLUMN agents.greeting IS 'websocket, fleet: {"audio": file} or {"text": words}, heard at the answer; NULL: none';
COMMENT ON COLUMN agents.sample_rate IS 'samples a second on the agent''s socket';
COMMENT ON COLUMN agents.trunk IS 'sip: the way to its number, whatever route leads to that; NULL: the route';
COMMENT ON COLUMN agents.trunk_user IS 'sip, by trunk: what is dialed there in place of the number; NULL: the number';
