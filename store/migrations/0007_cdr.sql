-- The CDR as the second witness of each end.

-- Ends of which event and CDR did not tell the same; both sides are in call_events (attempt.contradiction). A table of its own
-- because they are few and have to be counted: an index over all events would stop every writer while it is built.
CREATE TABLE contradictions (
    attempt_id      uuid PRIMARY KEY REFERENCES attempts,
    call_id         uuid NOT NULL REFERENCES calls,
    seen_at         timestamptz NOT NULL
);

-- CDRs of channels that are none of our attempts, by the switch that sent them: inbound legs, another house's calls.
CREATE TABLE cdr_strangers (
    switch          text PRIMARY KEY CHECK (length(switch) <= 64),
    count           bigint NOT NULL,
    last_at         timestamptz NOT NULL
);
