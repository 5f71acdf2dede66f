-- What proves to a keeper of the fleet that it is the relay who connects to one of its workers: a key per pool, by which the relay signs
-- the token of each connection (calls/agent_token.py) and the keeper verifies it. It only adds; of what there is only pools, which are
-- few, are written anew.

ALTER TABLE agent_pools ADD COLUMN token_key text NOT NULL
    DEFAULT 'fleet_' || replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '')
    CHECK (token_key ~ '^fleet_[0-9a-f]{64}$');
COMMENT ON COLUMN agent_pools.token_key IS 'signs the tokens by which the relay comes to workers of the pool; shown to its keepers alone';

-- Tenants' requests need not see it.
REVOKE SELECT ON agent_pools FROM trunkline_web;
GRANT SELECT (name, tenant_id, inbound_reserved, dials_per_seat) ON agent_pools TO trunkline_web;
