-- Where webhooks go, and what became of each. The outbox keeps the events, as before; a dispatcher makes of each event one
-- delivery for every endpoint that is to hear of it. Only new tables and columns without a value: old processes go on.

CREATE TABLE webhook_endpoints (
    id              uuid PRIMARY KEY,
    tenant_id       uuid NOT NULL REFERENCES tenants,
    account         boolean NOT NULL DEFAULT false,      -- it is tenants.webhook_url, signed with the tenant's own secret
    url             text,                                -- NULL: a listener, which fetches
    events          text[] NOT NULL DEFAULT '{*}' CHECK (cardinality(events) BETWEEN 1 AND 64),
    description     text,
    secret          bytea CHECK (octet_length(secret) BETWEEN 24 AND 64),      -- NULL: the tenant's
    old_secret      bytea CHECK (octet_length(old_secret) BETWEEN 24 AND 64),  -- signs beside it until then
    old_until       timestamptz,
    failing_since   timestamptz,                         -- the first failure after the last success
    disabled_at     timestamptz,
    disabled_reason text CHECK (disabled_reason IN ('customer', 'gone', 'failing')),
    listens_until   timestamptz,
    created_at      timestamptz NOT NULL DEFAULT now(),
    deleted_at      timestamptz,
    CHECK ((secret IS NULL) = account),
    CHECK ((url IS NULL) = (listens_until IS NOT NULL)),
    CHECK ((disabled_at IS NULL) = (disabled_reason IS NULL))
);
CREATE INDEX webhook_endpoints_tenant ON webhook_endpoints (tenant_id, id) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX webhook_endpoints_account ON webhook_endpoints (tenant_id) WHERE account AND deleted_at IS NULL;

CREATE TABLE webhook_deliveries (
    id              uuid PRIMARY KEY,                    -- version 7, of the event's time
    tenant_id       uuid NOT NULL REFERENCES tenants,
    -- The webhook-id. No reference: an event may be removed before what was delivered of it, or have no row at all.
    event_id        uuid NOT NULL,
    endpoint_id     uuid REFERENCES webhook_endpoints,   -- NULL: the call's own address
    url             text,                                -- the call's own address; NULL: the endpoint's
    call_id         uuid,                                -- NULL: it concerns no call
    sequence        integer,
    type            text NOT NULL,
    lane            smallint NOT NULL,                   -- 0: ends, which nothing else delays; 1: all else
    body            jsonb,                               -- NULL: the event's
    status          text NOT NULL CHECK (status IN ('pending', 'delivered', 'failed', 'skipped', 'listening')),
    tries           integer NOT NULL DEFAULT 0,          -- since it was written or replayed
    replays         integer NOT NULL DEFAULT 0,
    since           timestamptz NOT NULL,                -- the schedule counts from here: written, or replayed
    next_at         timestamptz NOT NULL,
    ended_at        timestamptz,                         -- delivered, given up or passed over
    last_code       integer,
    last_error      text,
    attempts        jsonb NOT NULL DEFAULT '[]',
    created_at      timestamptz NOT NULL                 -- of the event
);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (lane, next_at) WHERE status = 'pending';
CREATE UNIQUE INDEX webhook_deliveries_event ON webhook_deliveries (event_id, endpoint_id) NULLS NOT DISTINCT;
CREATE INDEX webhook_deliveries_tenant ON webhook_deliveries (tenant_id, id);
CREATE INDEX webhook_deliveries_endpoint ON webhook_deliveries (endpoint_id, id);
CREATE INDEX webhook_deliveries_call ON webhook_deliveries (call_id, id);

-- {"endpoint_id", "events"}: what the call itself asked for; its own address is calls.webhook_url, as before.
ALTER TABLE calls ADD COLUMN webhook jsonb;
-- Not NULL while there are endpoints beside webhook_url: then events are written though that may be NULL.
ALTER TABLE tenants ADD COLUMN webhook_also text;
ALTER TABLE tenants ADD COLUMN webhook_old_secret bytea CHECK (octet_length(webhook_old_secret) BETWEEN 24 AND 64);
ALTER TABLE tenants ADD COLUMN webhook_old_until timestamptz;

-- RFC 9562, 5.7: 48 bits of milliseconds, then randomness.
CREATE FUNCTION uuid7_at(at timestamptz) RETURNS uuid LANGUAGE sql VOLATILE AS $$
    SELECT encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
        PLACING substring(int8send(floor(extract(epoch FROM at) * 1000)::bigint) FROM 3) FROM 1 FOR 6), 52, 1), 53, 1), 'hex')::uuid
$$;

-- tenants.webhook_url is the account's own endpoint, whoever writes it: a process of the version before does so too.
CREATE FUNCTION follow_webhook_url() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.webhook_url IS NULL THEN
        UPDATE webhook_endpoints SET deleted_at = now() WHERE tenant_id = NEW.id AND account AND deleted_at IS NULL;
    ELSE
        INSERT INTO webhook_endpoints (id, tenant_id, account, url)
        VALUES (uuid7_at(clock_timestamp()), NEW.id, true, NEW.webhook_url)
        ON CONFLICT (tenant_id) WHERE account AND deleted_at IS NULL
        DO UPDATE SET url = excluded.url, failing_since = NULL, disabled_at = NULL, disabled_reason = NULL;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER webhook_url_set AFTER INSERT ON tenants
    FOR EACH ROW WHEN (NEW.webhook_url IS NOT NULL) EXECUTE FUNCTION follow_webhook_url();
CREATE TRIGGER webhook_url_changed AFTER UPDATE OF webhook_url ON tenants
    FOR EACH ROW WHEN (OLD.webhook_url IS DISTINCT FROM NEW.webhook_url) EXECUTE FUNCTION follow_webhook_url();
INSERT INTO webhook_endpoints (id, tenant_id, account, url)
SELECT uuid7_at(clock_timestamp()), id, true, webhook_url FROM tenants WHERE webhook_url IS NOT NULL;

-- A tenant's request sees and writes its own rows alone; of its tenant's row it writes what webhooks need.
SELECT guard_tenant_table('webhook_endpoints', rights => 'SELECT, INSERT, UPDATE');
SELECT guard_tenant_table('webhook_deliveries', rights => 'SELECT, INSERT, UPDATE');
GRANT UPDATE (webhook_url, webhook_also, webhook_secret, webhook_old_secret, webhook_old_until) ON tenants TO trunkline_web;
