-- What an operator does to a house at work: drain a switch, pause an agent, hang up, exchange one version for the next. It only
-- adds: processes of the version before go on beside it.

-- The scripts that opened the budget's epoch, by their version: one version at a time has a budget, or there would be two.
ALTER TABLE budget_epoch ADD COLUMN scripts integer NOT NULL DEFAULT 2;

-- Set: no call is dialed on it any more; those that are up end by themselves.
ALTER TABLE switches ADD COLUMN drained_at timestamptz;

CREATE FUNCTION notify_switches() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('switches', '');
    RETURN NULL;
END $$;
CREATE TRIGGER switches_drained AFTER UPDATE OF drained_at ON switches
    FOR EACH STATEMENT EXECUTE FUNCTION notify_switches();

-- The calls of a paused agent wait beside the lanes, not in them: their pushed_epoch is -1 - hold_number, by which they are
-- found again at once however many wait, and pushed_at the time they were due, so that they come back in order.
ALTER TABLE agents
    ADD COLUMN paused      boolean NOT NULL DEFAULT false,
    ADD COLUMN hold_number bigint NOT NULL GENERATED ALWAYS AS IDENTITY;
COMMENT ON COLUMN attempts.pushed_epoch IS
    'the budget epoch in which it was laned; NULL: in no lane; -1: never to be laned; less: held for its paused agent';
CREATE TRIGGER limits_changed AFTER UPDATE OF paused ON agents
    FOR EACH STATEMENT EXECUTE FUNCTION notify_limits();

-- What the API's caller, or the Idempotency-Key of its request, calls the action: asked for twice, it is the same one.
-- NOT VALID, for the rows of before have none: so the table is not read. Its indexes come with 0011.
ALTER TABLE call_commands
    ADD COLUMN action text,
    ADD CONSTRAINT call_commands_action_check CHECK (length(action) BETWEEN 1 AND 255) NOT VALID;
