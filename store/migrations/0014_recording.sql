-- Recording: what a tenant may and wants, what a call asks, and each recording from the answer to its removal. It only adds;
-- rows and processes of the version before record nothing.

ALTER TABLE tenants
    ADD COLUMN recording          text NOT NULL DEFAULT 'off' CHECK (recording IN ('off', 'answer', 'after_notice')),
    ADD COLUMN recording_allowed  text NOT NULL DEFAULT 'any' CHECK (recording_allowed IN ('none', 'after_notice', 'any')),
    ADD COLUMN recording_notice   text CHECK (recording_notice ~ '^[A-Za-z0-9_-]{1,100}[.]wav$'),
    ADD COLUMN recording_days     integer CHECK (recording_days BETWEEN 1 AND 36500);
COMMENT ON COLUMN tenants.recording IS 'of calls that do not say: not recorded, from the answer, or after the notice';
COMMENT ON COLUMN tenants.recording_allowed IS 'what a call may ask for at most';
COMMENT ON COLUMN tenants.recording_notice IS 'file in the announcement directory that is the notice; NULL: the agent gives it';
COMMENT ON COLUMN tenants.recording_days IS 'recordings are kept so long; NULL: the setting';

ALTER TABLE calls
    ADD COLUMN recording jsonb,
    ADD CONSTRAINT calls_recording_shape CHECK (jsonb_typeof(recording) = 'object') NOT VALID;
COMMENT ON COLUMN calls.recording IS 'start (answer, after_notice), notice (file or null), days; NULL: it is not recorded';

-- NOT VALID: what is there was valid under the narrower rule.
ALTER TABLE call_commands
    DROP CONSTRAINT call_commands_verb_check,
    DROP CONSTRAINT call_commands_who,
    ADD CONSTRAINT call_commands_verb_check
        CHECK (verb IN ('hangup', 'probe', 'pause_recording', 'resume_recording')) NOT VALID,
    ADD CONSTRAINT call_commands_who CHECK (CASE
        WHEN verb = 'probe' THEN requested_by = 'watchdog'
        ELSE requested_by IN ('customer', 'agent', 'operator', 'platform')
    END) NOT VALID;

-- One per answered attempt of a call that is to be recorded, written at the answer: so one that never came about is known too.
CREATE TABLE recordings (
    id               uuid PRIMARY KEY,
    attempt_id       uuid NOT NULL UNIQUE REFERENCES attempts,    -- and the name of the switch's file
    call_id          uuid NOT NULL REFERENCES calls,
    tenant_id        uuid NOT NULL REFERENCES tenants,
    switch           text,
    start            text NOT NULL CHECK (start IN ('answer', 'after_notice')),
    -- waiting: for its start. recording: the switch writes. uploading: the key is fixed, the object may be there. available: it
    -- is there and was verified. failed: there is none (failure says why). deleted: there was one.
    state            text NOT NULL DEFAULT 'waiting'
                     CHECK (state IN ('waiting', 'recording', 'uploading', 'available', 'failed', 'deleted')),
    failure          text,
    created_at       timestamptz NOT NULL,
    started_at       timestamptz,
    stopped_at       timestamptz,
    pauses           jsonb NOT NULL DEFAULT '[]',                 -- [{"from": time, "to": time or null}]
    duration_ms      bigint,
    channels         integer,
    sample_rate      integer,
    size_bytes       bigint,
    sha256           bytea CHECK (octet_length(sha256) = 32),
    place            text CHECK (place IN ('local', 's3')),
    key              text,
    uploaded_at      timestamptz,
    retention_until  timestamptz,
    delete_requested boolean NOT NULL DEFAULT false,
    deleted_at       timestamptz,
    CHECK (state <> 'available' OR (place IS NOT NULL AND key IS NOT NULL AND sha256 IS NOT NULL))
);
CREATE INDEX recordings_call ON recordings (call_id);
CREATE INDEX recordings_open ON recordings (switch) WHERE state IN ('waiting', 'recording', 'uploading');
CREATE INDEX recordings_retention ON recordings (retention_until) WHERE state = 'available';
