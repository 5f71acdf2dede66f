-- How the carriers do: read from the calls given to them, written down whenever the verdict changes.

-- The calls of a carrier in the order in which they were dialed. What was never dialed is not in it, so a backlog is not.
CREATE INDEX attempts_dialed ON attempts (carrier_id, claimed_at) WHERE claimed_at IS NOT NULL;

-- One row per change of state; the latest of a carrier is how it stands, and tells a new leader what it must know.
CREATE TABLE carrier_health (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    carrier_id      uuid NOT NULL REFERENCES carriers ON DELETE CASCADE,
    state           text NOT NULL CHECK (state IN ('ok', 'slowed', 'stopped', 'probing')),
    score           integer NOT NULL CHECK (score BETWEEN 0 AND 100),
    why             text NOT NULL,
    since           timestamptz NOT NULL,
    seen_at         timestamptz NOT NULL,                    -- score, why and figures are as they were then
    stops           integer NOT NULL DEFAULT 0,              -- in a row; each makes the next pause longer
    pause_until     timestamptz,
    judged_from     timestamptz,                             -- calls dialed before do not count
    own_pdd_s       double precision,                        -- the carrier's own p90 from INVITE to the first ring
    figures         jsonb NOT NULL DEFAULT '{}'              -- calls, faults, refused, answered, ner, asr, pdd_p90_s
);
CREATE INDEX carrier_health_latest ON carrier_health (carrier_id, id DESC);

-- The ways to the carriers as each switch sees them by its pings.
CREATE TABLE gateway_states (
    switch          text NOT NULL,
    gateway         text NOT NULL,
    up              boolean NOT NULL,
    since           timestamptz NOT NULL,
    seen_at         timestamptz NOT NULL,
    ping_ms         double precision,
    PRIMARY KEY (switch, gateway)
);
