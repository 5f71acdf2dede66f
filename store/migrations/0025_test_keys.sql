-- Calls of test keys, which go to the laboratory and to nobody else: a call is a test or is not, a carrier and a switch are the
-- laboratory's or are not. It only adds: processes of the version before go on beside it, and know no test call.
--
-- The strongest lock of each table first, and in everybody's order. Nothing is rewritten and no table that grows is read.

ALTER TABLE calls
    ADD COLUMN test boolean NOT NULL DEFAULT false,
    -- Numbers reserved for fiction, so whatever goes wrong behind this: no test call can name a person's phone.
    ADD CONSTRAINT calls_test_number CHECK (NOT test OR to_number ~ '^[+]1[2-9][0-9]{2}55501[0-9]{2}$') NOT VALID;
COMMENT ON COLUMN calls.test IS 'placed with a test key: only carriers of the laboratory take it, and they take nothing else';

ALTER TABLE carriers ADD COLUMN lab boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN carriers.lab IS 'of the laboratory (lab.carrier); never changed: calls.test = carriers.lab at every claim';

ALTER TABLE switches ADD COLUMN lab boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN switches.lab IS 'as its controller said: TRUNKLINE_LAB_SWITCH';
