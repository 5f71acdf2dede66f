-- What was asked of a call. Two requests for one action come one after the other without it, for they have the call's lock
-- (store/hangup.py) and look for the action under it; the index finds it, and holds it against whoever should forget the lock.
CREATE UNIQUE INDEX CONCURRENTLY call_commands_action ON call_commands (call_id, action) WHERE action IS NOT NULL;
CREATE INDEX CONCURRENTLY call_commands_call ON call_commands (call_id, id);
