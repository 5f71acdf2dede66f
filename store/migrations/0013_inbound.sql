-- Calls that carriers place to us. It only adds: processes of the version before go on beside it, and take such calls for
-- calls of theirs that are under way.
--
-- The strongest lock of each table first, and in everybody's order. Nothing is rewritten and no table that grows is read.

ALTER TABLE calls
    ADD COLUMN direction text NOT NULL DEFAULT 'outbound',
    ADD CONSTRAINT calls_direction_check CHECK (direction IN ('outbound', 'inbound')) NOT VALID,
    DROP CONSTRAINT calls_from_number_check,
    ADD CONSTRAINT calls_from_number_check CHECK (
        from_number ~ '^[+][1-9][0-9]{5,14}$' OR (direction = 'inbound' AND from_number = 'anonymous')) NOT VALID,
    DROP CONSTRAINT calls_hangup_by_check,
    ADD CONSTRAINT calls_hangup_by_check CHECK (
        hangup_by IN ('callee', 'agent', 'platform', 'carrier', 'operator', 'customer')
        OR (direction = 'inbound' AND hangup_by = 'caller')) NOT VALID;
COMMENT ON COLUMN calls.direction IS 'inbound: from_number (anonymous: it shows none) called to_number, one of the tenant''s own';

ALTER TABLE attempts ADD COLUMN inbound boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN attempts.inbound IS
    'a caller''s: its id is the channel''s own; no gateway; carrier_id NULL: no carrier counts it; fence NULL: it was refused';

ALTER TABLE carriers
    ADD COLUMN counts_inbound   boolean NOT NULL DEFAULT true,
    ADD COLUMN inbound_reserved integer NOT NULL DEFAULT 0 CHECK (inbound_reserved >= 0);
COMMENT ON COLUMN carriers.counts_inbound IS 'calls that it places to us take channels of max_channels';
COMMENT ON COLUMN carriers.inbound_reserved IS 'channels that calls of ours never take';

-- The numbers on which tenants are called.
CREATE TABLE numbers (
    number          text PRIMARY KEY CHECK (number ~ '^[+][1-9][0-9]{6,14}$'),
    tenant_id       uuid NOT NULL REFERENCES tenants,
    agent_id        uuid NOT NULL REFERENCES agents,
    carrier_id      uuid REFERENCES carriers,            -- whose number it is, where several carriers call from one address
    pool            text CHECK (pool ~ '^[a-z0-9][a-z0-9-]{0,31}$'),  -- its calls count in scope agents:<pool> too
    enabled         boolean NOT NULL DEFAULT true,
    created_at      timestamptz NOT NULL DEFAULT now()
);

-- Callers who were sent away without a call being made of it, counted: one row a reason, whatever they dial.
CREATE TABLE callers_refused (
    switch          text NOT NULL,
    reason          text NOT NULL CHECK (reason IN ('unknown_number', 'drained', 'no_budget')),
    count           bigint NOT NULL,
    last_at         timestamptz NOT NULL,
    last_number     text NOT NULL CHECK (length(last_number) <= 32),
    PRIMARY KEY (switch, reason)
);
