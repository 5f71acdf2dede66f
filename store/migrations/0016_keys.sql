-- What a key may do, from where, and its rotation; and the keys of the operator's own. It only adds: processes of the version
-- before go on beside it, and keys that they make may do what keys could do until then.

ALTER TABLE api_keys
    ADD COLUMN scopes      text[] NOT NULL
        DEFAULT '{calls:read,calls:write,agents:read,agents:write,recordings:read,recordings:write,limits:read}'
        CHECK (cardinality(scopes) BETWEEN 1 AND 100),
    ADD COLUMN mode        text NOT NULL DEFAULT 'live' CHECK (mode IN ('live', 'test')),
    ADD COLUMN allowed_ips cidr[] CHECK (cardinality(allowed_ips) BETWEEN 1 AND 50),  -- NULL: from anywhere
    ADD COLUMN line        uuid;
COMMENT ON COLUMN api_keys.scopes IS 'the closed list is calls/access.py; what is not in it opens nothing';
COMMENT ON COLUMN api_keys.line IS 'keys that follow each other by rotation have the same; NULL: it is the first, its id';

CREATE TABLE operator_keys (
    id              uuid PRIMARY KEY,
    prefix          text NOT NULL UNIQUE CHECK (prefix ~ '^[a-z0-9]{8,16}$'),
    secret_hash     bytea NOT NULL CHECK (octet_length(secret_hash) = 32),
    name            text NOT NULL CHECK (name ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    allowed_ips     cidr[] CHECK (cardinality(allowed_ips) BETWEEN 1 AND 50),
    expires_at      timestamptz,
    revoked_at      timestamptz,
    last_used_at    timestamptz,
    created_at      timestamptz NOT NULL DEFAULT now()
);
