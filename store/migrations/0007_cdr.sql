-- The CDR as the second witness of each end.

-- Ends of which event and CDR did not tell the same: few, and counted without walking the record of everything.
CREATE INDEX call_events_contradictions ON call_events (id) WHERE type = 'attempt.contradiction';

-- CDRs of channels that are none of our attempts, by the switch that sent them: inbound legs, another house's calls.
CREATE TABLE cdr_strangers (
    switch          text PRIMARY KEY CHECK (length(switch) <= 64),
    count           bigint NOT NULL,
    last_at         timestamptz NOT NULL
);
