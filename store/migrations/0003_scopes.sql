-- Every limit has a place: what is not a carrier's own is a row of scopes. Tenants get a bound on what they may have queued,
-- counted exactly without a row that every accepted call would have to wait for.

-- A count, a rate or both, by the scope's id; NULL: no such limit. A carrier's own numbers are in carriers.
CREATE TABLE scopes (
    scope           text PRIMARY KEY CHECK (scope ~ ('^(global'
                        || '|account:[A-Za-z0-9][A-Za-z0-9._-]{0,62}'
                        || '|ip:[0-9a-f.:]{2,45}'
                        || '|switch:[a-z0-9][a-z0-9-]{0,31}'
                        || '|tenant:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}'
                        || '|(campaign|caller):[0-9a-f]{32}:[a-z0-9][a-z0-9-]{0,31}'
                        || '|agents:[a-z0-9][a-z0-9-]{0,31})$')),
    max_channels    integer CHECK (max_channels >= 0),
    cps             numeric(8, 3) CHECK (cps >= 0),
    window_ms       integer NOT NULL DEFAULT 1000 CHECK (window_ms BETWEEN 100 AND 60000),
    weight          integer NOT NULL DEFAULT 1 CHECK (weight BETWEEN 1 AND 1000),  -- campaigns share a tenant's turn by it
    paused          boolean NOT NULL DEFAULT false
);

ALTER TABLE carriers
    ADD COLUMN account      text CHECK (account ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$'),
    ADD COLUMN source_ip    text CHECK (source_ip ~ '^[0-9a-f.:]{2,45}$'),
    ADD COLUMN urgent_share numeric(4, 3) NOT NULL DEFAULT 0.3 CHECK (urgent_share BETWEEN 0 AND 1),
    ADD COLUMN bulk_floor   numeric(4, 3) NOT NULL DEFAULT 0.1 CHECK (bulk_floor BETWEEN 0 AND 0.5);
COMMENT ON COLUMN carriers.account IS 'the carrier counts by this account: its limits are in scope account:<account>';
COMMENT ON COLUMN carriers.source_ip IS 'the carrier counts by the address we call from: its limits are in scope ip:<source_ip>';
COMMENT ON COLUMN carriers.urgent_share IS 'of the carrier''s slots that one tenant''s urgent calls may take ahead of others';
COMMENT ON COLUMN carriers.bulk_floor IS 'of the carrier''s slots that bulk calls get however much else waits';

ALTER TABLE routes ADD COLUMN price numeric(10, 5) CHECK (price >= 0);

ALTER TABLE tenants
    ADD COLUMN max_queued      integer CHECK (max_queued >= 0),                    -- NULL: the setting
    ADD COLUMN requests_per_s  numeric(8, 3) CHECK (requests_per_s > 0),           -- NULL: the setting
    ADD COLUMN canceled_before timestamptz;
COMMENT ON COLUMN tenants.canceled_before IS 'calls created at or before this are not dialed any more';

-- Whoever keeps a picture of limits, routes and tenants hears of every change of them.
CREATE FUNCTION notify_limits() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('limits', TG_TABLE_NAME);
    RETURN NULL;
END $$;

CREATE TRIGGER limits_changed AFTER INSERT OR UPDATE OR DELETE ON scopes
    FOR EACH STATEMENT EXECUTE FUNCTION notify_limits();
CREATE TRIGGER limits_changed AFTER INSERT OR UPDATE OR DELETE ON carriers
    FOR EACH STATEMENT EXECUTE FUNCTION notify_limits();
CREATE TRIGGER limits_changed AFTER INSERT OR UPDATE OR DELETE ON endpoints
    FOR EACH STATEMENT EXECUTE FUNCTION notify_limits();
CREATE TRIGGER limits_changed AFTER INSERT OR UPDATE OR DELETE ON routes
    FOR EACH STATEMENT EXECUTE FUNCTION notify_limits();
CREATE TRIGGER limits_changed AFTER INSERT OR UPDATE OR DELETE ON tenants
    FOR EACH STATEMENT EXECUTE FUNCTION notify_limits();

-- How many attempts of a tenant are queued: queue_counts.n and the sum of its queue_deltas. Writers only append a delta, so
-- none waits for another; folding moves deltas into the count within one statement, so that no reader sees one twice.
CREATE TABLE queue_counts (
    tenant_id       uuid PRIMARY KEY,
    n               bigint NOT NULL,
    -- How many have left the queue since the count began, and how many had at two earlier moments: what leaves per second.
    left_n          bigint NOT NULL DEFAULT 0,
    before_at       timestamptz NOT NULL,
    before_n        bigint NOT NULL DEFAULT 0,
    then_at         timestamptz NOT NULL,
    then_n          bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

CREATE TABLE queue_deltas (
    tenant_id       uuid NOT NULL,   -- no reference: it would lock the tenant's row for each
    n               integer NOT NULL
) WITH (autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_scale_factor = 0,
        autovacuum_vacuum_insert_threshold = -1, autovacuum_analyze_threshold = 1000000);
CREATE INDEX queue_deltas_tenant ON queue_deltas (tenant_id);

CREATE FUNCTION count_queued() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        INSERT INTO queue_deltas SELECT c.tenant_id, -1 FROM calls c WHERE c.id = OLD.call_id;
    ELSE
        INSERT INTO queue_deltas
        SELECT c.tenant_id, CASE NEW.state WHEN 'queued' THEN 1 ELSE -1 END FROM calls c WHERE c.id = NEW.call_id;
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER queued_enters AFTER INSERT ON attempts
    FOR EACH ROW WHEN (NEW.state = 'queued') EXECUTE FUNCTION count_queued();
CREATE TRIGGER queued_moves AFTER UPDATE OF state ON attempts
    FOR EACH ROW WHEN ((OLD.state = 'queued') <> (NEW.state = 'queued')) EXECUTE FUNCTION count_queued();
CREATE TRIGGER queued_goes AFTER DELETE ON attempts
    FOR EACH ROW WHEN (OLD.state = 'queued') EXECUTE FUNCTION count_queued();

-- What waits already; the triggers hold off every writer until this is committed.
INSERT INTO queue_counts (tenant_id, n, before_at, then_at)
SELECT c.tenant_id, count(*), now(), now()
FROM attempts a JOIN calls c ON c.id = a.call_id WHERE a.state = 'queued' GROUP BY c.tenant_id;
