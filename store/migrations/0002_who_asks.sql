-- Who may ask what of a live call. Controllers hand the name of a hangup on to the channel, and what a channel says of
-- its end is one of these four; only the watchdog asks questions.
ALTER TABLE call_commands ADD CONSTRAINT call_commands_who CHECK (
    CASE verb WHEN 'hangup' THEN requested_by IN ('customer', 'agent', 'operator', 'platform')
              ELSE requested_by = 'watchdog' END);
COMMENT ON COLUMN call_commands.requested_by IS 'hangup: customer, agent, operator or platform; probe: watchdog';
