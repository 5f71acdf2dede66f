-- Who may not be called, how much a tenant may spend, and the ledger of who changed what. It only adds: processes of the
-- version before go on beside it, and hold themselves to none of it.
--
-- The strongest lock of each table first. Nothing is rewritten and no table that grows is read.

ALTER TABLE tenants
    ADD COLUMN capped     boolean NOT NULL DEFAULT false,
    ADD COLUMN held_until timestamptz;
COMMENT ON COLUMN tenants.capped IS 'it has a row of tenant_caps: its claims look there, and nobody else''s';
COMMENT ON COLUMN tenants.held_until IS 'a cap is used up until then: nothing of the tenant is laned before';

-- --- numbers that are not called --------------------------------------------------------------------------------------

CREATE TABLE suppressions (
    id              uuid PRIMARY KEY,
    tenant_id       uuid REFERENCES tenants,             -- NULL: nobody of this house calls it
    number          text NOT NULL CHECK (number ~ '^[+][1-9][0-9]{5,14}$'),
    origin          text NOT NULL CHECK (origin IN ('api', 'import', 'operator', 'agent', 'keypad')),
    source          text NOT NULL CHECK (length(source) BETWEEN 1 AND 200),   -- where the wish was told, or is written
    list_name       text CHECK (length(list_name) BETWEEN 1 AND 100),
    obtained_at     timestamptz NOT NULL,                -- when the wish was told, or the list was drawn
    note            text CHECK (length(note) BETWEEN 1 AND 500),
    call_id         uuid,                                -- the call in which it was told
    created_by      text NOT NULL,
    created_at      timestamptz NOT NULL,
    -- Set: every call that waited for the number, or rang, when this was written was ended.
    swept_at        timestamptz,
    lifted_at       timestamptz,
    lifted_by       text,
    lifted_reason   text CHECK (length(lifted_reason) BETWEEN 1 AND 500),
    CHECK ((lifted_at IS NULL) = (lifted_by IS NULL) AND (lifted_at IS NULL) = (lifted_reason IS NULL))
);
CREATE UNIQUE INDEX suppressions_number ON suppressions (number, tenant_id) NULLS NOT DISTINCT WHERE lifted_at IS NULL;
CREATE INDEX suppressions_tenant ON suppressions (tenant_id, id DESC);
CREATE INDEX suppressions_unswept ON suppressions (id) WHERE swept_at IS NULL;

-- --- caps -------------------------------------------------------------------------------------------------------------

-- What calls to a prefix cost (E.164 digits, no +; the longest that fits holds), in millionths of the house's currency.
CREATE TABLE prices (
    prefix          text PRIMARY KEY CHECK (prefix ~ '^[0-9]{0,15}$'),
    minute_micros   bigint NOT NULL CHECK (minute_micros BETWEEN 0 AND 1000000000),
    attempt_micros  bigint NOT NULL DEFAULT 0 CHECK (attempt_micros BETWEEN 0 AND 1000000000),
    increment_s     integer NOT NULL DEFAULT 60 CHECK (increment_s BETWEEN 1 AND 3600),  -- talk is charged in whole ones
    changed_at      timestamptz NOT NULL DEFAULT now()
);

-- NULL: no such cap. Its row is the lock under which the tenant's claims come one after the other.
CREATE TABLE tenant_caps (
    tenant_id             uuid PRIMARY KEY REFERENCES tenants,
    calls_per_minute      integer CHECK (calls_per_minute >= 1),
    number_per_day        integer CHECK (number_per_day >= 1),
    minutes_per_day       integer CHECK (minutes_per_day >= 0),
    spend_per_day         bigint CHECK (spend_per_day >= 0),              -- millionths
    new_prefixes_per_hour integer CHECK (new_prefixes_per_hour >= 0),
    reserve_s             integer NOT NULL DEFAULT 60 CHECK (reserve_s BETWEEN 0 AND 14400),
    time_zone             text NOT NULL DEFAULT 'UTC',
    settled_at            timestamptz
);
COMMENT ON COLUMN tenant_caps.reserve_s IS
    's of talk that a call counts with from its dial on, or its longest talk where that is less; once it has talked longer, what it has talked';
COMMENT ON COLUMN tenant_caps.time_zone IS 'IANA zone whose days are meant';
COMMENT ON COLUMN tenant_caps.settled_at IS 'what its calls count with was looked at then (settle_caps)';

-- One row for each dial of a tenant with caps, as long as a day may ask for it.
CREATE TABLE cap_uses (
    attempt_id      uuid PRIMARY KEY,
    tenant_id       uuid NOT NULL,
    number          text NOT NULL,
    at              timestamptz NOT NULL,
    day             date NOT NULL,
    reserve_s       integer NOT NULL,
    minute_micros   bigint NOT NULL,                     -- as the price was at the dial
    attempt_micros  bigint NOT NULL,
    increment_s     integer NOT NULL,
    seconds         bigint NOT NULL,                     -- what it counts with in its day's sums now
    micros          bigint NOT NULL,
    ended_at        timestamptz,                         -- NULL: when it was looked at last, it was on the line
    settled         boolean NOT NULL DEFAULT false       -- looked at again some time after its end, and never more
) WITH (fillfactor = 80);
CREATE INDEX cap_uses_open ON cap_uses (tenant_id) WHERE ended_at IS NULL;
CREATE INDEX cap_uses_ended ON cap_uses (tenant_id, ended_at) WHERE ended_at IS NOT NULL AND NOT settled;
CREATE INDEX cap_uses_at ON cap_uses (tenant_id, at);
CREATE INDEX cap_uses_number ON cap_uses (tenant_id, number, day);

-- The sums of a day's uses, so that a claim adds up nothing.
CREATE TABLE cap_days (
    tenant_id       uuid NOT NULL,
    day             date NOT NULL,
    seconds         bigint NOT NULL,
    micros          bigint NOT NULL,
    running         bigint NOT NULL,                     -- of them on the line
    PRIMARY KEY (tenant_id, day)
) WITH (fillfactor = 50);

-- Where a tenant calls: the first digits of its numbers, and since when.
CREATE TABLE cap_prefixes (
    tenant_id       uuid NOT NULL,
    prefix          text NOT NULL,
    first_at        timestamptz NOT NULL,
    last_at         timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, prefix)
);
CREATE INDEX cap_prefixes_first ON cap_prefixes (tenant_id, first_at);

-- What talk of so many seconds costs, a dial included.
CREATE FUNCTION call_micros(seconds bigint, minute_micros bigint, attempt_micros bigint, increment_s integer) RETURNS bigint
LANGUAGE sql IMMUTABLE AS $$
    SELECT attempt_micros + CASE WHEN seconds <= 0 THEN 0
        ELSE (((seconds + increment_s - 1) / increment_s) * increment_s * minute_micros + 59) / 60 END
$$;

-- How much of its caps the tenant has used at "moment", for a dial of that attempt. With "take" it is put down as one of them,
-- and whoever then finds it forbidden rolls back. NULL: the tenant has none. Volatile on purpose: it looks after it has the
-- tenant's turn, and so sees what whoever had the turn before has committed.
CREATE FUNCTION take_caps(
    of_tenant uuid, of_attempt uuid, of_number text, longest_s integer, moment timestamptz, take boolean, quiet text[],
    prefix_digits integer, settle_after interval, known_for interval
) RETURNS jsonb LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    caps tenant_caps;
    price prices;
    today date;
    reserve integer;
    found jsonb;
    of_prefix text := substr(of_number, 2, prefix_digits);
    fresh boolean;
    counted bigint;
    counted_micros bigint;
BEGIN
    IF take THEN
        SELECT * INTO caps FROM tenant_caps k WHERE k.tenant_id = of_tenant FOR UPDATE;
    ELSE
        SELECT * INTO caps FROM tenant_caps k WHERE k.tenant_id = of_tenant;
    END IF;
    IF caps.tenant_id IS NULL THEN
        RETURN NULL;
    END IF;
    today := (moment AT TIME ZONE caps.time_zone)::date;
    reserve := least(caps.reserve_s, longest_s);
    SELECT * INTO price FROM prices p
    WHERE p.prefix IN (SELECT substr(of_number, 2, n) FROM generate_series(0, 15) n) ORDER BY length(p.prefix) DESC LIMIT 1;
    fresh := NOT EXISTS (SELECT FROM cap_prefixes x
                         WHERE x.tenant_id = of_tenant AND x.prefix = of_prefix AND x.last_at > moment - known_for);
    IF take THEN
        PERFORM settle_caps(of_tenant, of_attempt, moment, settle_after, known_for);
    END IF;
    found := caps_used(of_tenant, of_attempt, of_number, moment, today, quiet) || jsonb_build_object(
        'new_prefix', fresh,
        'reserve_s', reserve,
        'reserve_micros', CASE WHEN price.prefix IS NOT NULL THEN
            call_micros(reserve, price.minute_micros, price.attempt_micros, price.increment_s) END);
    IF take THEN
        counted := reserve;
        counted_micros := call_micros(counted, coalesce(price.minute_micros, 0), coalesce(price.attempt_micros, 0),
                                      coalesce(price.increment_s, 60));
        -- One that was given back counts no more.
        WITH gone AS (
            DELETE FROM cap_uses u WHERE u.attempt_id = of_attempt RETURNING u.day, u.seconds, u.micros, u.ended_at
        )
        UPDATE cap_days d SET seconds = d.seconds - g.seconds, micros = d.micros - g.micros,
            running = d.running - CASE WHEN g.ended_at IS NULL THEN 1 ELSE 0 END
        FROM gone g WHERE d.tenant_id = of_tenant AND d.day = g.day;
        INSERT INTO cap_uses (attempt_id, tenant_id, number, at, day, reserve_s, minute_micros, attempt_micros, increment_s,
                              seconds, micros)
        VALUES (of_attempt, of_tenant, of_number, moment, today, reserve, coalesce(price.minute_micros, 0),
                coalesce(price.attempt_micros, 0), coalesce(price.increment_s, 60), counted, counted_micros);
        INSERT INTO cap_days AS d VALUES (of_tenant, today, counted, counted_micros, 1)
        ON CONFLICT (tenant_id, day) DO UPDATE SET
            seconds = d.seconds + EXCLUDED.seconds, micros = d.micros + EXCLUDED.micros, running = d.running + 1;
        INSERT INTO cap_prefixes AS x VALUES (of_tenant, of_prefix, moment, moment)
        ON CONFLICT (tenant_id, prefix) DO UPDATE SET
            first_at = CASE WHEN fresh THEN EXCLUDED.first_at ELSE x.first_at END, last_at = EXCLUDED.last_at
        WHERE fresh OR x.last_at < moment - interval '1 hour';
    END IF;
    RETURN found;
END $$;

-- What the tenant has used at "moment": the caps themselves; of what is capped the dials of the last minute (no more than the
-- cap is told, and the first of those), the day's to the number, and when those of the hour's destinations were new that are;
-- seconds and millionths of the day, without "beside". All of it from sums and short walks of an index.
CREATE FUNCTION caps_used(
    of_tenant uuid, beside uuid, of_number text, moment timestamptz, today date, quiet text[]
) RETURNS jsonb LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    caps tenant_caps;
    sums cap_days;
    own cap_uses;
    dials bigint := 0;
    first_dial timestamptz;
    number_dials bigint := 0;
    prefixes timestamptz[] := '{}';
BEGIN
    SELECT * INTO caps FROM tenant_caps k WHERE k.tenant_id = of_tenant;
    SELECT * INTO sums FROM cap_days d WHERE d.tenant_id = of_tenant AND d.day = today;
    SELECT * INTO own FROM cap_uses u WHERE u.attempt_id = beside AND u.day = today;
    IF caps.calls_per_minute IS NOT NULL THEN
        SELECT count(*), min(l.at) INTO dials, first_dial FROM (
            SELECT u.at FROM cap_uses u
            WHERE u.tenant_id = of_tenant AND u.at > moment - interval '1 minute' AND u.attempt_id <> beside
            ORDER BY u.at DESC LIMIT caps.calls_per_minute) l;
    END IF;
    IF caps.number_per_day IS NOT NULL THEN
        SELECT count(*) INTO number_dials FROM cap_uses u CROSS JOIN LATERAL (
            SELECT a.* FROM attempts a WHERE a.id = u.attempt_id OFFSET 0) a
        WHERE u.tenant_id = of_tenant AND u.number = of_number AND u.day = today AND u.attempt_id <> beside
          AND a.state <> 'queued'
          AND NOT (a.state = 'ended' AND a.retry_class = ANY(quiet) AND a.ringing_at IS NULL
                   AND a.early_at IS NULL AND a.answered_at IS NULL);
    END IF;
    IF caps.new_prefixes_per_hour IS NOT NULL THEN
        prefixes := ARRAY(SELECT x.first_at FROM cap_prefixes x
                          WHERE x.tenant_id = of_tenant AND x.first_at > moment - interval '1 hour' ORDER BY 1);
    END IF;
    RETURN jsonb_build_object(
        'moment', moment, 'caps', to_jsonb(caps), 'dials', dials, 'first_dial', first_dial, 'number_dials', number_dials,
        'new_prefixes', prefixes,
        'seconds', coalesce(sums.seconds, 0) - coalesce(own.seconds, 0),
        'micros', coalesce(sums.micros, 0) - coalesce(own.micros, 0),
        'running', coalesce(sums.running, 0) - CASE WHEN own.attempt_id IS NOT NULL AND own.ended_at IS NULL THEN 1 ELSE 0 END,
        'next_day', (today + 1)::timestamp AT TIME ZONE caps.time_zone);
END $$;

-- Of the tenant's uses those that may count with something else at "moment" than they do: what was on the line, and what
-- ended longer than "settle_after" ago and was not looked at since; "most" of them (NULL: all), what ended first. What was
-- given back counts with nothing.
CREATE FUNCTION caps_changed(of_tenant uuid, beside uuid, moment timestamptz, settle_after interval, most integer)
RETURNS TABLE (
    attempt_id uuid, day date, given_back boolean, ended_at timestamptz, was_ended boolean, seconds bigint, micros bigint,
    more_seconds bigint, more_micros bigint, more_running integer
) LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    RETURN QUERY
    WITH looked AS (
        SELECT * FROM cap_uses u WHERE u.tenant_id = of_tenant AND u.ended_at IS NULL
        UNION ALL
        SELECT * FROM cap_uses u
        WHERE u.tenant_id = of_tenant AND u.ended_at < moment - settle_after AND u.ended_at IS NOT NULL AND NOT u.settled
    ), now AS (
        SELECT u.attempt_id, u.day, a.state = 'queued' AS given_back, u.ended_at IS NOT NULL AS was_ended,
               CASE WHEN a.state = 'ended' THEN a.ended_at END AS ended_at, u.seconds AS old_seconds, u.micros AS old_micros,
               CASE a.state WHEN 'queued' THEN 0 WHEN 'ended' THEN
                   ceil(greatest(coalesce(extract(epoch FROM a.ended_at - a.answered_at), 0), 0))
               ELSE greatest(u.reserve_s, ceil(extract(epoch FROM moment - a.answered_at))) END::bigint AS seconds,
               u.minute_micros, u.increment_s,
               CASE WHEN a.state = 'queued' OR a.retry_class IN ('not_sent', 'switch_local') THEN 0
               ELSE u.attempt_micros END AS attempt_micros
        FROM looked u CROSS JOIN LATERAL (
            SELECT a.state, a.ended_at, a.answered_at, a.retry_class FROM attempts a WHERE a.id = u.attempt_id OFFSET 0) a
        WHERE u.attempt_id <> beside
    ), priced AS (
        SELECT n.*, call_micros(n.seconds, n.minute_micros, n.attempt_micros, n.increment_s) AS micros FROM now n
    )
    SELECT p.attempt_id, p.day, p.given_back, p.ended_at, p.was_ended, p.seconds, p.micros, p.seconds - p.old_seconds,
           p.micros - p.old_micros,
           CASE WHEN p.was_ended THEN 0 WHEN p.given_back OR p.ended_at IS NOT NULL THEN -1 ELSE 0 END
    FROM priced p
    WHERE p.given_back OR p.ended_at IS NOT NULL OR p.seconds <> p.old_seconds OR p.micros <> p.old_micros
    ORDER BY p.ended_at IS NULL AND NOT p.given_back LIMIT most;
END $$;

-- Every two seconds at most, under the tenant's turn: the day's sums follow what its calls count with now, and what no day can
-- ask for any more is forgotten. In between a call that ended counts with what it had reserved; so do those that are too many
-- for one transaction, until the next.
CREATE FUNCTION settle_caps(of_tenant uuid, beside uuid, moment timestamptz, settle_after interval, known_for interval)
RETURNS void LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    before timestamptz;
BEGIN
    SELECT k.settled_at INTO before FROM tenant_caps k WHERE k.tenant_id = of_tenant FOR UPDATE;
    IF NOT FOUND OR moment - before BETWEEN interval '-2 seconds' AND interval '2 seconds' THEN
        RETURN;
    END IF;
    WITH changed AS MATERIALIZED (
        SELECT * FROM caps_changed(of_tenant, beside, moment, settle_after, 2000)
    ), gone AS (
        DELETE FROM cap_uses u USING changed c WHERE u.attempt_id = c.attempt_id AND c.given_back
    ), kept AS (
        UPDATE cap_uses u SET seconds = c.seconds, micros = c.micros, ended_at = c.ended_at, settled = c.was_ended
        FROM changed c WHERE u.attempt_id = c.attempt_id AND NOT c.given_back
    ), days AS (
        SELECT c.day, sum(c.more_seconds) AS seconds, sum(c.more_micros) AS micros, sum(c.more_running) AS running
        FROM changed c GROUP BY c.day
    )
    UPDATE cap_days d SET seconds = d.seconds + n.seconds, micros = d.micros + n.micros, running = d.running + n.running
    FROM days n WHERE d.tenant_id = of_tenant AND d.day = n.day;
    DELETE FROM cap_uses u WHERE u.tenant_id = of_tenant AND u.at < moment - interval '50 hours';
    IF before IS NULL OR moment - before > interval '1 hour' OR date_trunc('hour', before) <> date_trunc('hour', moment) THEN
        DELETE FROM cap_days d WHERE d.tenant_id = of_tenant AND d.day < (moment - interval '72 hours')::date;
        DELETE FROM cap_prefixes x WHERE x.tenant_id = of_tenant AND x.last_at < moment - known_for;
    END IF;
    UPDATE tenant_caps k SET settled_at = moment WHERE k.tenant_id = of_tenant;
END $$;

-- --- the ledger -------------------------------------------------------------------------------------------------------

-- What of an entry is somebody's own: it can be erased, and the chain goes on holding.
CREATE TABLE audit_personal (
    id              uuid PRIMARY KEY,
    salt            bytea CHECK (octet_length(salt) = 32),
    data            jsonb,
    erased_at       timestamptz,
    CHECK ((erased_at IS NULL) = (salt IS NOT NULL) AND (erased_at IS NULL) = (data IS NOT NULL))
);

CREATE TABLE audit_entries (
    id              uuid PRIMARY KEY,
    at              timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor           text NOT NULL CHECK (length(actor) BETWEEN 1 AND 200),
    action          text NOT NULL CHECK (action ~ '^[a-z_]+([.][a-z_]+)*$'),
    subject         text NOT NULL CHECK (length(subject) BETWEEN 1 AND 200),
    data            jsonb NOT NULL CHECK (jsonb_typeof(data) = 'object'),
    personal_id     uuid REFERENCES audit_personal,
    personal_hash   bytea CHECK (octet_length(personal_hash) = 32),
    -- Given by whoever seals; NULL until then.
    place           bigint CHECK (place >= 1),
    previous        bytea CHECK (octet_length(previous) = 32),
    hash            bytea CHECK (octet_length(hash) = 32),
    CHECK ((personal_id IS NULL) = (personal_hash IS NULL)),
    CHECK ((place IS NULL) = (hash IS NULL) AND (place IS NULL) = (previous IS NULL))
);
CREATE UNIQUE INDEX audit_entries_place ON audit_entries (place) WHERE place IS NOT NULL;
CREATE INDEX audit_entries_unsealed ON audit_entries (id) WHERE place IS NULL;

-- Nobody changes an entry, nobody takes one away: it comes without a place and is sealed once, and that is all that ever
-- happens to it.
CREATE FUNCTION audit_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.place IS NULL THEN
            RETURN NEW;
        END IF;
        RAISE EXCEPTION 'audit_entries: a new entry has no place yet, whoever seals gives it (docs/audit.md)'
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        IF OLD.place IS NULL AND NEW.place IS NOT NULL
           AND (OLD.id, OLD.at, OLD.actor, OLD.action, OLD.subject, OLD.data, OLD.personal_id, OLD.personal_hash)
               IS NOT DISTINCT FROM
               (NEW.id, NEW.at, NEW.actor, NEW.action, NEW.subject, NEW.data, NEW.personal_id, NEW.personal_hash) THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'audit_entries is append-only: % is refused (docs/audit.md)', TG_OP USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER audit_is_kept BEFORE INSERT OR UPDATE OR DELETE ON audit_entries
    FOR EACH ROW EXECUTE FUNCTION audit_is_kept();
CREATE TRIGGER audit_is_not_emptied BEFORE TRUNCATE ON audit_entries
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_kept();

-- How far the calls' events were read for what was decided of each dial. Of what is numbered up to "until_id" everything is
-- committed or never will be once no transaction older than "until_xid" is under way.
CREATE TABLE audit_read (
    one             boolean PRIMARY KEY DEFAULT true CHECK (one),
    read_id         bigint NOT NULL,
    until_id        bigint NOT NULL,
    until_xid       xid8 NOT NULL
);
INSERT INTO audit_read (read_id, until_id, until_xid)
SELECT n, n, pg_current_xact_id() FROM (SELECT coalesce(max(id), 0) AS n FROM call_events) e;

-- Tenants' requests (migration 0017) see and write their own; they add to the ledger, and read none of it.
SELECT guard_tenant_table('suppressions', rights => 'SELECT, INSERT, UPDATE (lifted_at, lifted_by, lifted_reason)');
SELECT guard_tenant_table('tenant_caps', rights => 'SELECT');
SELECT guard_tenant_table('cap_uses', rights => 'SELECT');
SELECT guard_tenant_table('cap_days', rights => 'SELECT');
SELECT guard_tenant_table('cap_prefixes', rights => 'SELECT');
GRANT INSERT (id, actor, action, subject, data, personal_id, personal_hash) ON audit_entries TO trunkline_web;
GRANT INSERT (id, salt, data) ON audit_personal TO trunkline_web;

-- Of the entries of the house a tenant's request learns this of one number, and nothing else.
DO $$ BEGIN
    EXECUTE format($f$
        CREATE FUNCTION nobody_calls(asked text) RETURNS boolean LANGUAGE plpgsql STABLE SECURITY DEFINER
        SET search_path = %I, pg_temp AS $body$
        BEGIN
            RETURN EXISTS (SELECT FROM suppressions s WHERE s.number = asked AND s.tenant_id IS NULL AND s.lifted_at IS NULL);
        END $body$ $f$, current_schema());
END $$;
REVOKE EXECUTE ON FUNCTION nobody_calls(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION nobody_calls(text) TO trunkline_web;
