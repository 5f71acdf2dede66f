-- How each carrier wants to be spoken to in SIP, the gateways that are made of it, and what each switch has of them. It only
-- adds: processes of the version before go on beside it, and dial through the gateways they know.

ALTER TABLE carriers
    ADD COLUMN auth            text NOT NULL DEFAULT 'ip' CHECK (auth IN ('ip', 'digest')),
    ADD COLUMN username        text CHECK (username ~ '^[A-Za-z0-9._+@-]{1,64}$'),
    ADD COLUMN realm           text CHECK (realm ~ '^[A-Za-z0-9._@-]{1,128}$'),
    ADD COLUMN secret_env      text CHECK (secret_env ~ '^TRUNKLINE_SECRET_[A-Z0-9_]{1,64}$'),
    ADD COLUMN from_user       text CHECK (from_user ~ '^[A-Za-z0-9._+-]{1,64}$'),
    ADD COLUMN from_domain     text CHECK (from_domain ~ '^[A-Za-z0-9]([A-Za-z0-9.-]{0,126}[A-Za-z0-9])?$'),
    ADD COLUMN caller_in_from  boolean NOT NULL DEFAULT true,
    ADD COLUMN caller_header   text NOT NULL DEFAULT 'pai' CHECK (caller_header IN ('pai', 'ppi', 'rpid', 'none')),
    ADD COLUMN privacy         text NOT NULL DEFAULT 'none' CHECK (privacy IN ('off', 'none', 'id')),
    ADD COLUMN number_format   text NOT NULL DEFAULT 'plus'
                                   CHECK (number_format IN ('plus', 'double_zero', 'digits', 'national')),
    ADD COLUMN caller_format   text NOT NULL DEFAULT 'plus'
                                   CHECK (caller_format IN ('plus', 'double_zero', 'digits', 'national')),
    ADD COLUMN country_code    text CHECK (country_code ~ '^[1-9][0-9]{0,2}$'),
    ADD COLUMN national_prefix text NOT NULL DEFAULT '0' CHECK (national_prefix ~ '^[0-9]{0,3}$'),
    ADD COLUMN international_prefix text NOT NULL DEFAULT '00' CHECK (international_prefix ~ '^[0-9]{1,5}$'),
    ADD COLUMN tech_prefix     text NOT NULL DEFAULT '' CHECK (tech_prefix ~ '^[0-9*#]{0,16}$'),
    ADD COLUMN codecs          text[] NOT NULL DEFAULT '{PCMU,PCMA}'
                                   CHECK (codecs <@ '{PCMU,PCMA,G722,OPUS}' AND cardinality(codecs) BETWEEN 1 AND 4),
    ADD COLUMN transport       text NOT NULL DEFAULT 'udp' CHECK (transport IN ('udp', 'tcp', 'tls')),
    ADD COLUMN ping_s          integer DEFAULT 10 CHECK (ping_s BETWEEN 5 AND 3600),     -- NULL: never; then it is always UP
    ADD COLUMN ring_s          integer CHECK (ring_s BETWEEN 5 AND 120),                 -- NULL: the call's own ring time
    ADD COLUMN media_timeout_s integer NOT NULL DEFAULT 60 CHECK (media_timeout_s BETWEEN 10 AND 3600),
    ADD COLUMN reject_texts    jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(reject_texts) = 'array'),
    -- Digest: each call sends its INVITE twice, and the carrier counts both.
    ADD CONSTRAINT carriers_digest_check
        CHECK (auth = 'ip' OR (username IS NOT NULL AND secret_env IS NOT NULL AND invite_cost = 2)),
    ADD CONSTRAINT carriers_national_check
        CHECK (country_code IS NOT NULL OR (number_format <> 'national' AND caller_format <> 'national')),
    ADD CONSTRAINT carriers_withheld_check CHECK (privacy <> 'id' OR from_domain IS NOT NULL);
COMMENT ON COLUMN carriers.secret_env IS 'the variable of the controllers'' environment that holds the digest password';
COMMENT ON COLUMN carriers.reject_texts IS '[{"code": 503 or null, "text": "...", "class": "cps"}] (calls/reject_texts.py)';

-- A name: its gateway is rendered from here, one version after the other; gateway is the one that new dials take. NULL: its
-- gateway is written by hand on every switch.
ALTER TABLE endpoints
    ADD COLUMN name text CHECK (name ~ '^[a-z0-9][a-z0-9-]{0,15}$'),
    ADD CONSTRAINT endpoints_name_key UNIQUE (carrier_id, name),
    DROP CONSTRAINT endpoints_gateway_check,
    ADD CONSTRAINT endpoints_gateway_check CHECK (gateway ~ '^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$');

-- A gateway never changes: another address or parameter is another version, so that nothing touches the calls of this one.
CREATE TABLE gateway_versions (
    gateway         text PRIMARY KEY CHECK (gateway ~ '^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$'),
    carrier_id      uuid NOT NULL REFERENCES carriers,
    endpoint_id     uuid REFERENCES endpoints ON DELETE SET NULL,
    version         integer NOT NULL CHECK (version >= 1),
    params          jsonb NOT NULL CHECK (jsonb_typeof(params) = 'object'),
    secret_env      text,
    created_at      timestamptz NOT NULL,
    retired_at      timestamptz,                             -- no new dial from then on; killed at 0 calls
    UNIQUE (endpoint_id, version)
);

-- What a switch has of it, as the controller beside it asked the switch. Only a loaded gateway is dialed.
CREATE TABLE gateway_loads (
    switch          text NOT NULL,
    gateway         text NOT NULL REFERENCES gateway_versions,
    state           text NOT NULL CHECK (state IN ('loaded', 'failed', 'gone')),
    why             text NOT NULL DEFAULT '',
    at              timestamptz NOT NULL,
    PRIMARY KEY (switch, gateway)
);

-- Whoever keeps a picture of what can be dialed hears of it.
CREATE TRIGGER limits_changed AFTER INSERT OR UPDATE OR DELETE ON gateway_loads
    FOR EACH STATEMENT EXECUTE FUNCTION notify_limits();

-- The latest that was asked of the controller beside a switch: to look, or to make its gateways what they should be.
CREATE TABLE carrier_orders (
    switch          text PRIMARY KEY,
    id              uuid NOT NULL,
    kind            text NOT NULL CHECK (kind IN ('look', 'apply')),
    asked_at        timestamptz NOT NULL,
    done_at         timestamptz,
    findings        jsonb NOT NULL DEFAULT '[]'              -- what differs after it was done
);
