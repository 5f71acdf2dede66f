-- Several controllers may stand beside one switch; one is on duty. Who, until when, and under which fence: one row, so that
-- the lease and the fence can never disagree. Old controllers know nothing of it and go on without.
ALTER TABLE switches
    ADD COLUMN controller  uuid,                        -- the process on duty; NULL: it left in order
    ADD COLUMN duty_fence  bigint NOT NULL DEFAULT 0,   -- one more with every change of hands
    ADD COLUMN duty_until  timestamptz;                 -- by this server's clock; passed: another may take over
