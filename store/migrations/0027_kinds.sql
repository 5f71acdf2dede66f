-- Agents that speak a script with a menu of keys, agents that are a person or a switchboard, and calls that are handed on. It only
-- adds; a process of the version before knows none of these and refuses them.

-- The strongest lock of each table first, and in everybody's order. Nothing is rewritten and no table that grows is read.
-- NOT VALID: what is there was valid under the narrower rule.
ALTER TABLE agents
    ADD COLUMN script jsonb,
    ADD COLUMN menu jsonb,
    ADD COLUMN voice text CHECK (voice ~ '^[A-Za-z0-9-]{1,32}$'),
    ADD COLUMN needs text[] NOT NULL DEFAULT '{}',
    ADD COLUMN number text CHECK (number ~ '^[+][1-9][0-9]{5,14}$'),
    ADD COLUMN transfer_to text[] NOT NULL DEFAULT '{}',
    DROP CONSTRAINT agents_kind_check,
    DROP CONSTRAINT agents_check1,
    ADD CONSTRAINT agents_kind_check CHECK (kind IN ('websocket', 'announcement', 'sip')) NOT VALID,
    ADD CONSTRAINT agents_announcement CHECK (kind <> 'announcement' OR (script IS NOT NULL AND audio IS NULL)
        OR (audio IS NOT NULL AND audio ~ '^[A-Za-z0-9_-]{1,100}[.]wav$')) NOT VALID,
    ADD CONSTRAINT agents_sip CHECK (kind <> 'sip' OR number IS NOT NULL) NOT VALID;
COMMENT ON COLUMN agents.script IS 'announcement: [{"audio": file} or {"text": words}]; NULL: only the file in audio';
COMMENT ON COLUMN agents.menu IS 'announcement: keys and what they mean (calls/script.py); NULL: it hears none';
COMMENT ON COLUMN agents.voice IS 'announcement: of espeak-ng, for its texts';
COMMENT ON COLUMN agents.needs IS 'announcement: variables in its texts, which each of its calls must have';
COMMENT ON COLUMN agents.number IS 'sip: whom its calls are handed to once somebody has answered';
COMMENT ON COLUMN agents.transfer_to IS 'E.164 numbers, and beginnings of them that end in *, to which its calls may be transferred';

ALTER TABLE calls ADD COLUMN transfer_of uuid;
COMMENT ON COLUMN calls.transfer_of IS 'the call whose party this one is put through to; NULL: it is none of that kind';

-- A CHECK in the column's own definition would read the whole table under the strongest lock.
ALTER TABLE attempts
    ADD COLUMN menu text,
    ADD CONSTRAINT attempts_menu_check CHECK (menu IN ('confirmed', 'opted_out', 'no_key')) NOT VALID;
COMMENT ON COLUMN attempts.menu IS 'what the callee chose in the menu of an announcement; NULL: nothing, or there was none';

ALTER TABLE call_commands
    DROP CONSTRAINT call_commands_verb_check,
    ADD CONSTRAINT call_commands_verb_check CHECK (
        verb IN ('hangup', 'probe', 'pause_recording', 'resume_recording', 'dtmf', 'play', 'transfer')) NOT VALID;
