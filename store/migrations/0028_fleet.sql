-- Pools of the fleet, and agents of kind fleet, whose calls take a seat of theirs. It only adds; a process of the version before knows
-- no such agent and refuses to make one.

CREATE TABLE agent_pools (
    name             text PRIMARY KEY CHECK (name ~ '^[a-z0-9][a-z0-9-]{0,31}$'),
    tenant_id        uuid REFERENCES tenants,                                -- NULL: every tenant's agents may have it
    inbound_reserved integer NOT NULL DEFAULT 0 CHECK (inbound_reserved >= 0),
    dials_per_seat   numeric(4, 2) NOT NULL DEFAULT 1 CHECK (dials_per_seat BETWEEN 1 AND 10)
);
COMMENT ON TABLE agent_pools IS 'pools of workers (python -m agents); which seats there are only Redis knows';
COMMENT ON COLUMN agent_pools.inbound_reserved IS 'seats that calls of ours never take';
COMMENT ON COLUMN agent_pools.dials_per_seat IS 'calls dialed for each free seat where an agent takes one at the answer';

CREATE TRIGGER limits_changed AFTER INSERT OR UPDATE OR DELETE ON agent_pools
    FOR EACH STATEMENT EXECUTE FUNCTION notify_limits();
SELECT guard_tenant_table('agent_pools', 'tenant_id IS NULL OR tenant_id = current_tenant()', 'false', 'SELECT');

-- NOT VALID: what is there was valid under the narrower rule.
ALTER TABLE agents
    ADD COLUMN pool text REFERENCES agent_pools,
    ADD COLUMN seat_policy text CHECK (seat_policy IN ('reserved', 'at_answer')),
    DROP CONSTRAINT agents_kind_check,
    ADD CONSTRAINT agents_kind_check CHECK (kind IN ('websocket', 'announcement', 'sip', 'fleet')) NOT VALID,
    ADD CONSTRAINT agents_fleet CHECK ((kind = 'fleet') = (pool IS NOT NULL) AND (kind = 'fleet') = (seat_policy IS NOT NULL))
        NOT VALID;
COMMENT ON COLUMN agents.pool IS 'fleet: whose seats its calls take';
COMMENT ON COLUMN agents.seat_policy IS 'fleet: reserved (a seat from the permit on) or at_answer';
