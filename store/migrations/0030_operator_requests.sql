-- What operators' requests under an Idempotency-Key were answered: as request_keys (0019) has it of tenants. It only adds:
-- processes of the version before go on beside it, and refuse operators the header.
--
-- The platform's own: no tenant's rows are in it, and trunkline_web sees nothing of it.

CREATE TABLE operator_request_keys (
    operator        text NOT NULL CHECK (length(operator) BETWEEN 1 AND 100),   -- name of the operator's key
    scope           text NOT NULL CHECK (length(scope) BETWEEN 1 AND 5000),     -- method and path; names in a path may be long
    key             text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    fingerprint     bytea NOT NULL,
    status          integer NOT NULL,
    location        text,
    body            bytea NOT NULL,                          -- to the byte what the first request was answered
    created_at      timestamptz NOT NULL,
    PRIMARY KEY (operator, scope, key)
);
CREATE INDEX operator_request_keys_age ON operator_request_keys (created_at);
