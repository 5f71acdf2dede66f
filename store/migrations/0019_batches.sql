-- Calls that were posted together, and what was answered to requests under an Idempotency-Key that made something else than one
-- call. It only adds: processes of the version before go on beside it, and take the calls of a batch for any others. The
-- index by which the calls of a batch are found comes with 0023.

ALTER TABLE calls ADD COLUMN batch_id uuid;
COMMENT ON COLUMN calls.batch_id IS 'posted with this batch; no reference, which would lock its row for each call; NULL: alone';

CREATE TABLE batches (
    id              uuid PRIMARY KEY,
    tenant_id       uuid NOT NULL REFERENCES tenants,
    accepted        integer NOT NULL CHECK (accepted > 0),   -- rows that became calls
    refused         integer NOT NULL CHECK (refused >= 0),   -- rows that did not, and were told why
    created_at      timestamptz NOT NULL,
    canceled_at     timestamptz,                             -- set: none of its calls is dialed from then on
    canceling       boolean NOT NULL DEFAULT false           -- and some of them may still have to be ended
);
CREATE INDEX batches_tenant ON batches (tenant_id, id DESC);
CREATE INDEX batches_canceling ON batches (id) WHERE canceling;

-- An Idempotency-Key belongs to its tenant and to what was asked: method and path. idempotency_keys has those of POST /v1/calls.
CREATE TABLE request_keys (
    tenant_id       uuid NOT NULL REFERENCES tenants,
    scope           text NOT NULL CHECK (length(scope) BETWEEN 1 AND 500),
    key             text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    fingerprint     bytea NOT NULL,
    status          integer NOT NULL,
    location        text,
    body            bytea NOT NULL,                          -- to the byte what the first request was answered
    created_at      timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, scope, key)
);
CREATE INDEX request_keys_age ON request_keys (created_at);

-- One delta for all attempts that one statement puts into the queue, not one each.
CREATE FUNCTION count_queued_together() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO queue_deltas
    SELECT c.tenant_id, count(*) FROM entered e JOIN calls c ON c.id = e.call_id WHERE e.state = 'queued' GROUP BY c.tenant_id;
    RETURN NULL;
END $$;
DROP TRIGGER queued_enters ON attempts;
CREATE TRIGGER queued_enters AFTER INSERT ON attempts
    REFERENCING NEW TABLE AS entered FOR EACH STATEMENT EXECUTE FUNCTION count_queued_together();

-- A tenant's request sees its own alone (0017).
SELECT guard_tenant_table('batches', rights => 'SELECT, INSERT, UPDATE');
SELECT guard_tenant_table('request_keys', rights => 'SELECT, INSERT, UPDATE');
