-- What holds for every tenant's destinations, beside each one's own list (tenant_rules). It only adds: processes of the version before
-- go on beside it, and do not ask it.
--
-- The platform's own, one row: empty, until an operator puts something in. A tenant's request reads it with its own rules; were the
-- row gone, nothing would be dialed.

CREATE TABLE house_rules (
    one          boolean PRIMARY KEY DEFAULT true CHECK (one),
    -- {"MV": {"allow": false, "risk": "low"}, "+4930": ...}: calls/destinations.py
    destinations jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(destinations) = 'object'),
    changed_at   timestamptz NOT NULL DEFAULT now()
);
INSERT INTO house_rules DEFAULT VALUES;
GRANT SELECT ON house_rules TO trunkline_web;
