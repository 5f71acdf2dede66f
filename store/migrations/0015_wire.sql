-- Early media that is no ringing, and what a carrier's own list of texts makes of its refusal. It only adds.

-- With status 'ringing': the network plays something (183 with media) and no ring was told yet, which the API calls 'early'.
-- A status of its own would be a new expression for the stored column "ended", that is the whole table written anew under an
-- exclusive lock; and processes of the version before go on reading 'ringing', which is what they know it as.
ALTER TABLE calls ADD COLUMN early boolean NOT NULL DEFAULT false;

ALTER TABLE attempts ADD COLUMN said text;
COMMENT ON COLUMN attempts.said IS 'what the carrier''s reject_texts made of sip_phrase: cps, channels, outage, blocked, bad_number';
