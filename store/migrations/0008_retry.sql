-- What a call asks of its retries and of the times at which it may be dialed. Old rows, and those that processes of the
-- version before still write, have none of it and go by the platform's rules.
--
-- The strongest lock of each table first, and in everybody's order. Nothing is rewritten and no table is read; the index by
-- which number_rang looks comes with 0010.

ALTER TABLE calls
    ADD COLUMN retry       jsonb,
    ADD COLUMN dial_window jsonb,
    ADD CONSTRAINT calls_retry_shape
        CHECK (jsonb_typeof(retry) = 'object' AND jsonb_typeof(dial_window) = 'object') NOT VALID;
COMMENT ON COLUMN calls.retry IS 'its rules (calls/rules.py), whole, as they were when it was accepted; NULL: the platform''s';
COMMENT ON COLUMN calls.dial_window IS 'time_zone, days, from, to (calls/windows.py); NULL: at any time';

ALTER TABLE attempts ADD COLUMN dial_until timestamptz;
COMMENT ON COLUMN attempts.dial_until IS 'a dial begun later would ring past its window; NULL: no window, or not known';

-- When a tenant's other calls to a number than that of attempt "beside" were dialed, the latest first, without the dials
-- that reached nobody (their retry_class is one of "quiet" and no ring was seen). A call's own dials are the caller's to add. Volatile on purpose: it looks after it has the number's turn, and so
-- sees what whoever had the turn before has committed. Two claims can therefore not both take the last dial of a day.
CREATE FUNCTION number_rang(of_tenant uuid, of_number text, since timestamptz, beside uuid, quiet text[]) RETURNS timestamptz[]
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(of_number, hashtextextended('dials of ' || of_tenant::text, 0)));
    RETURN ARRAY(
        SELECT d.claimed_at
        FROM (SELECT c.id FROM calls c
              WHERE c.tenant_id = of_tenant AND c.to_number = of_number AND c.retry IS NOT NULL
                AND c.id <> (SELECT call_id FROM attempts WHERE id = beside)
                AND (NOT c.ended OR c.ended_at > since) OFFSET 0) o
        CROSS JOIN LATERAL (
            SELECT a.claimed_at FROM attempts a
            WHERE a.call_id = o.id AND a.claimed_at > since
              AND NOT (a.state = 'ended' AND a.retry_class = ANY (quiet) AND a.ringing_at IS NULL AND a.early_at IS NULL
                       AND a.answered_at IS NULL) OFFSET 0) d
        ORDER BY d.claimed_at DESC LIMIT 1000);
END $$;
