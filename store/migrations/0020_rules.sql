-- What a tenant may dial, which numbers it may show, whose hours it keeps; what a call says of its callee; why an attempt was
-- dialed or was not. It only adds: processes of the version before go on beside it, and ask none of it.
--
-- The strongest lock of each table first, and in everybody's order. Nothing is rewritten and no table that grows is read.

ALTER TABLE calls
    ADD COLUMN recipient jsonb,
    ADD COLUMN consent   jsonb,
    ADD CONSTRAINT calls_recipient_shape
        CHECK (jsonb_typeof(recipient) = 'object' AND jsonb_typeof(consent) = 'object') NOT VALID;
COMMENT ON COLUMN calls.recipient IS 'timezone, country as asked; hours, otherwise: its tenant''s at the accept; number: what its plan says (calls/places.py)';
COMMENT ON COLUMN calls.consent IS 'basis, at, reference (calls/consent.py); NULL: the tenant''s, if it has one';

ALTER TABLE attempts ADD COLUMN decision jsonb;
COMMENT ON COLUMN attempts.decision IS 'what the rules said when they were asked last (calls/verdict.py)';

-- One row a tenant, read whole by each claim. No row: nothing was set, and nothing is dialed.
CREATE TABLE tenant_rules (
    tenant_id    uuid PRIMARY KEY REFERENCES tenants,
    -- {"DE": {"allow": true, "risk": "low"}, "+4930": ...}: calls/destinations.py
    destinations jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(destinations) = 'object'),
    hours        text NOT NULL DEFAULT 'country' CHECK (hours IN ('country', 'none')),
    -- Who attests that its calls solicit nobody, and on what ground.
    hours_reason text CHECK (length(hours_reason) BETWEEN 1 AND 500),
    time_zone    text CHECK (length(time_zone) BETWEEN 1 AND 64),
    -- {"basis", "at", "reference"}: stands in for calls that name no consent.
    consent      jsonb CHECK (jsonb_typeof(consent) = 'object'),
    changed_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT tenant_rules_attested CHECK (hours = 'country' OR hours_reason IS NOT NULL)
);

-- Numbers that a tenant may show, beside those on which it is called. A block is every number that begins so.
CREATE TABLE caller_ids (
    tenant_id    uuid NOT NULL REFERENCES tenants,
    number       text NOT NULL CHECK (number ~ '^[+][1-9][0-9]{0,14}$'),
    block        boolean NOT NULL DEFAULT false,
    how          text NOT NULL CHECK (how IN ('verified', 'assigned')),
    reference    text CHECK (length(reference) BETWEEN 1 AND 255),
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, number)
);

-- A tenant's request asks them; whoever operates the system sets them.
SELECT guard_tenant_table('tenant_rules', rights => 'SELECT');
SELECT guard_tenant_table('caller_ids', rights => 'SELECT');
