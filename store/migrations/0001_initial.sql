-- The first shape of the truth. One row per accepted call, one per dial, one per thing that was seen.

CREATE TABLE tenants (
    id              uuid PRIMARY KEY,
    name            text NOT NULL UNIQUE CHECK (name ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    webhook_url     text,
    -- Signs webhooks to webhook_url and to a call's own address: the raw bytes behind whsec_<base64>.
    webhook_secret  bytea NOT NULL CHECK (octet_length(webhook_secret) BETWEEN 24 AND 64),
    weight          integer NOT NULL DEFAULT 1 CHECK (weight BETWEEN 1 AND 1000),
    paused          boolean NOT NULL DEFAULT false,
    created_at      timestamptz NOT NULL DEFAULT now()
);

-- A key is tl_<prefix>_<secret>; only SHA-256 of the secret is kept (256 bits of entropy need no slow hash).
CREATE TABLE api_keys (
    id              uuid PRIMARY KEY,
    tenant_id       uuid NOT NULL REFERENCES tenants,
    prefix          text NOT NULL UNIQUE CHECK (prefix ~ '^[a-z0-9]{8,16}$'),
    secret_hash     bytea NOT NULL CHECK (octet_length(secret_hash) = 32),
    name            text NOT NULL DEFAULT '',
    expires_at      timestamptz,
    revoked_at      timestamptz,
    last_used_at    timestamptz,
    created_at      timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX api_keys_tenant ON api_keys (tenant_id);

CREATE TABLE agents (
    id              uuid PRIMARY KEY,
    tenant_id       uuid NOT NULL REFERENCES tenants,
    name            text NOT NULL CHECK (name ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    kind            text NOT NULL CHECK (kind IN ('websocket', 'announcement')),
    url             text,               -- websocket: ws:// or wss:// address
    audio           text,               -- announcement: file name inside the announcement directory
    created_at      timestamptz NOT NULL DEFAULT now(),
    UNIQUE (tenant_id, name),
    CHECK (kind <> 'websocket' OR url IS NOT NULL),
    CHECK (kind <> 'announcement' OR audio ~ '^[A-Za-z0-9_-]{1,100}[.]wav$')
);

CREATE TABLE carriers (
    id              uuid PRIMARY KEY,
    name            text NOT NULL UNIQUE CHECK (name ~ '^[a-z0-9][a-z0-9_-]{0,31}$'),
    max_channels    integer NOT NULL CHECK (max_channels >= 0),
    cps             numeric(8, 3) NOT NULL CHECK (cps >= 0),
    window_ms       integer NOT NULL DEFAULT 1000 CHECK (window_ms BETWEEN 100 AND 60000),
    jitter_ms       integer CHECK (jitter_ms >= 0),          -- NULL: the setting
    linger_ms       integer CHECK (linger_ms >= 0),          -- NULL: the setting
    invite_cost     integer NOT NULL DEFAULT 1 CHECK (invite_cost IN (1, 2)),
    pdd_s           integer CHECK (pdd_s BETWEEN 1 AND 120), -- NULL: the setting
    paused          boolean NOT NULL DEFAULT false,
    created_at      timestamptz NOT NULL DEFAULT now()
);

-- A literal address of a carrier and the gateway that leads there; one gateway per endpoint.
CREATE TABLE endpoints (
    id              uuid PRIMARY KEY,
    carrier_id      uuid NOT NULL REFERENCES carriers,
    gateway         text NOT NULL UNIQUE CHECK (gateway ~ '^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$'),
    address         text NOT NULL CHECK (address ~ '^[0-9a-fA-F.:\[\]]+:[0-9]{1,5}$'),
    enabled         boolean NOT NULL DEFAULT true,
    created_at      timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX endpoints_carrier ON endpoints (carrier_id);

-- E.164 prefix (digits, no +; '' = all) -> carriers, in order of tier, then weight.
CREATE TABLE routes (
    id              uuid PRIMARY KEY,
    name            text NOT NULL CHECK (name ~ '^[a-z0-9][a-z0-9-]{0,31}$'),
    prefix          text NOT NULL CHECK (prefix ~ '^[0-9]{0,15}$'),
    carrier_id      uuid NOT NULL REFERENCES carriers,
    tier            integer NOT NULL DEFAULT 1 CHECK (tier >= 1),
    weight          integer NOT NULL DEFAULT 1 CHECK (weight >= 1),
    UNIQUE (prefix, carrier_id)
);
CREATE INDEX routes_name ON routes (name);

CREATE TABLE calls (
    id              uuid PRIMARY KEY,                        -- UUIDv7, so id order is arrival order
    tenant_id       uuid NOT NULL REFERENCES tenants,
    agent_id        uuid NOT NULL REFERENCES agents,
    to_number       text NOT NULL CHECK (to_number ~ '^[+][1-9][0-9]{5,14}$'),
    from_number     text NOT NULL CHECK (from_number ~ '^[+][1-9][0-9]{5,14}$'),
    priority        text NOT NULL DEFAULT 'normal' CHECK (priority IN ('urgent', 'normal', 'bulk')),
    route           text NOT NULL,
    lane            text NOT NULL,
    status          text NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'dialing', 'ringing', 'in_progress',
                        'completed', 'failed', 'no_answer', 'busy', 'canceled', 'expired', 'blocked')),
    status_at       timestamptz NOT NULL,
    ended           boolean NOT NULL GENERATED ALWAYS AS (status NOT IN ('queued', 'dialing', 'ringing', 'in_progress')) STORED,
    end_reason      text,
    sip_code        integer,
    q850_cause      integer,
    hangup_by       text CHECK (hangup_by IN ('callee', 'agent', 'platform', 'carrier', 'operator', 'customer')),
    answered_by     text CHECK (answered_by IN ('human', 'machine', 'fax', 'unknown')),
    attempt_count   integer NOT NULL DEFAULT 1,              -- attempts that count towards max_attempts
    max_attempts    integer NOT NULL CHECK (max_attempts BETWEEN 1 AND 10),
    ring_timeout_s  integer NOT NULL CHECK (ring_timeout_s BETWEEN 5 AND 120),
    max_duration_s  integer NOT NULL CHECK (max_duration_s BETWEEN 10 AND 14400),
    cancel_requested boolean NOT NULL DEFAULT false,
    due_at          timestamptz NOT NULL,                    -- queued: not before this
    expires_at      timestamptz NOT NULL,
    metadata        jsonb NOT NULL DEFAULT '{}',
    agent_variables jsonb NOT NULL DEFAULT '{}',
    client_reference text,
    webhook_url     text,                                    -- NULL: the tenant's
    sequence        integer NOT NULL DEFAULT 0,              -- last outbox sequence given out
    created_at      timestamptz NOT NULL,
    answered_at     timestamptz,
    ended_at        timestamptz
) WITH (fillfactor = 80);
CREATE INDEX calls_tenant ON calls (tenant_id, id DESC);
CREATE INDEX calls_live ON calls (id) WHERE NOT ended;
-- Not by status: an index that names a changing column would make every change of it rewrite all indexes of the row.
CREATE INDEX calls_expiry ON calls (expires_at) WHERE NOT ended;

CREATE TABLE attempts (
    id              uuid PRIMARY KEY,                        -- RQ job id, lease, channel UUID, SIP Call-ID
    call_id         uuid NOT NULL REFERENCES calls,
    number          integer NOT NULL CHECK (number >= 1),    -- 1, 2, 3 ... within the call
    lane            text NOT NULL,
    state           text NOT NULL DEFAULT 'queued'
                        CHECK (state IN ('queued', 'dialing', 'ringing', 'early', 'in_progress', 'ended')),
    due_at          timestamptz NOT NULL,                    -- queued: not before
    deadline_at     timestamptz,                             -- when silence becomes failure
    probes          integer NOT NULL DEFAULT 0,              -- questions the watchdog has asked since the deadline
    pushed_epoch    bigint,                                  -- the budget epoch in which it was laned
    pushed_at       timestamptz,
    switch          text,
    carrier_id      uuid REFERENCES carriers,
    gateway         text,
    fence           bigint,
    epoch           bigint,
    claimed_at      timestamptz,
    ringing_at      timestamptz,
    early_at        timestamptz,
    answered_at     timestamptz,
    ended_at        timestamptz,
    evidence        text CHECK (evidence IN ('event', 'cdr', 'reconcile', 'watchdog', 'operator')),
    evidence_key    text,                                    -- orders equal sources, so any order gives one row
    outcome         text,
    end_reason      text,
    retry_class     text,
    uncertain       boolean NOT NULL DEFAULT false,
    cause           text,                                    -- FreeSWITCH hangup cause
    q850_cause      integer,
    sip_code        integer,
    sip_phrase      text,
    disposition     text,                                    -- sip_hangup_disposition of the best end
    local           boolean NOT NULL DEFAULT false,          -- refused inside the switch
    requested_by    text,                                    -- who asked for the hangup
    note            text,                                    -- why the platform ended it, as noted on the channel
    hangup_by       text,
    decided         text,                                    -- what the retry policy said
    created_at      timestamptz NOT NULL,
    UNIQUE (call_id, number)
);
CREATE INDEX attempts_due ON attempts (lane, due_at) WHERE state = 'queued';
-- The feeder's two questions: never laned, laned in an epoch that is over (or long ago). Neither walks the backlog.
CREATE INDEX attempts_unpushed ON attempts (due_at) WHERE state = 'queued' AND pushed_epoch IS NULL;
CREATE INDEX attempts_pushed ON attempts (pushed_epoch, pushed_at) WHERE state = 'queued' AND pushed_epoch IS NOT NULL;
CREATE INDEX attempts_deadline ON attempts (deadline_at) WHERE state <> 'ended' AND deadline_at IS NOT NULL;
-- What may still count at a carrier after its end, for a rebuild of the budget.
CREATE INDEX attempts_ended ON attempts (ended_at) WHERE ended_at IS NOT NULL AND carrier_id IS NOT NULL;
CREATE INDEX attempts_live ON attempts (switch) WHERE state IN ('dialing', 'ringing', 'early', 'in_progress');

-- Append-only: everything that was seen or decided, also what came late, twice or contradicts.
CREATE TABLE call_events (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    call_id         uuid NOT NULL REFERENCES calls,
    attempt_id      uuid REFERENCES attempts,
    dedupe          text NOT NULL,                           -- core id + event sequence, or the writer's own key
    source          text NOT NULL,                           -- event, cdr, reconcile, watchdog, operator, api, budget, relay
    type            text NOT NULL,
    at              timestamptz NOT NULL,
    data            jsonb NOT NULL DEFAULT '{}',
    recorded_at     timestamptz NOT NULL DEFAULT now(),
    UNIQUE (call_id, dedupe)
);

-- What the API or an agent wants of a live call; the controller that owns the channel carries it out.
CREATE TABLE call_commands (
    id              uuid PRIMARY KEY,
    call_id         uuid NOT NULL REFERENCES calls,
    attempt_id      uuid NOT NULL REFERENCES attempts,
    switch          text,
    verb            text NOT NULL CHECK (verb IN ('hangup', 'probe')),
    args            jsonb NOT NULL DEFAULT '{}',
    requested_by    text NOT NULL,                           -- customer, operator, agent, watchdog
    created_at      timestamptz NOT NULL DEFAULT now(),
    done_at         timestamptz,
    result          text
);
CREATE INDEX call_commands_open ON call_commands (attempt_id) WHERE done_at IS NULL;

-- What the enterprise is still to hear; one row per event, gapless sequence per call.
CREATE TABLE outbox (
    id              uuid PRIMARY KEY,                        -- webhook-id: the same on every retry
    tenant_id       uuid NOT NULL REFERENCES tenants,
    call_id         uuid NOT NULL REFERENCES calls,
    sequence        integer NOT NULL,
    type            text NOT NULL,
    body            jsonb NOT NULL,
    url             text NOT NULL,
    tries           integer NOT NULL DEFAULT 0,
    next_at         timestamptz NOT NULL DEFAULT now(),
    delivered_at    timestamptz,
    failed_at       timestamptz,                             -- given up
    last_code       integer,
    last_error      text,
    created_at      timestamptz NOT NULL DEFAULT now(),
    UNIQUE (call_id, sequence)
);
CREATE INDEX outbox_due ON outbox (next_at) WHERE delivered_at IS NULL AND failed_at IS NULL;

CREATE TABLE idempotency_keys (
    tenant_id       uuid NOT NULL REFERENCES tenants,
    key             text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    fingerprint     bytea NOT NULL,
    call_id         uuid NOT NULL REFERENCES calls,
    response        jsonb NOT NULL,                          -- what the first request was answered
    created_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, key)
);
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);

-- One row: the epoch of the budget. Redis may forget; this does not.
CREATE TABLE budget_epoch (
    one             boolean PRIMARY KEY DEFAULT true CHECK (one),
    epoch           bigint NOT NULL,
    opened_at       timestamptz,
    redis_run_id    text
);
INSERT INTO budget_epoch (epoch) VALUES (0);

-- Each switch a controller has spoken for.
CREATE TABLE switches (
    name            text PRIMARY KEY CHECK (name ~ '^[a-z0-9][a-z0-9-]{0,31}$'),
    core_uuid       text,
    core_since      timestamptz,         -- this Core-UUID was first seen then; the tombstones of older dials are gone
    seen_at         timestamptz
);
