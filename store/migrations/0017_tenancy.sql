-- Row level security: what serves a tenant's request sees that tenant's rows and no others, whatever its WHERE says. It stands
-- beside the WHERE, not instead of it. It only adds: processes of the version before go on as the owner (docs/security.md).
--
-- A request's transaction runs as trunkline_web, which owns nothing and does not pass by the rules, with its tenant in the
-- setting trunkline.tenant; none set: it sees nothing. Roles belong to the whole server: this one cannot log in, and what it
-- may is granted database by database.
DO $$
DECLARE
    may_enter boolean;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'trunkline_web') THEN
        BEGIN
            CREATE ROLE trunkline_web NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS;
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;  -- another database's migration was first
            WHEN insufficient_privilege THEN
                RAISE insufficient_privilege USING
                    MESSAGE = format('%s may not create the role trunkline_web, in which tenants'' requests run', current_user),
                    HINT = format('Let an administrator of the server run: CREATE ROLE trunkline_web NOLOGIN;'
                                  || ' GRANT trunkline_web TO %I; then migrate again.', current_user);
        END;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'trunkline_web' AND (rolsuper OR rolbypassrls)) THEN
        RAISE EXCEPTION USING
            MESSAGE = 'the role trunkline_web passes by row level security, so it would protect nothing',
            HINT = 'Let an administrator of the server run: ALTER ROLE trunkline_web NOSUPERUSER NOBYPASSRLS; then migrate again.';
    END IF;
    may_enter := pg_has_role('trunkline_web', CASE WHEN current_setting('server_version_num')::integer >= 160000
                                                   THEN 'SET' ELSE 'MEMBER' END);
    IF NOT may_enter THEN
        BEGIN
            EXECUTE format('GRANT trunkline_web TO %I', current_user);
        EXCEPTION WHEN insufficient_privilege THEN
            RAISE insufficient_privilege USING
                MESSAGE = format('%s may not take on the role trunkline_web, in which tenants'' requests run', current_user),
                HINT = format('Let an administrator of the server run: GRANT trunkline_web TO %I; then migrate again.',
                              current_user);
        END;
    END IF;
    IF NOT has_schema_privilege('trunkline_web', current_schema(), 'USAGE') THEN
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO trunkline_web', current_schema());
    END IF;
END $$;

-- The tenant of this transaction; NULL: none. Simple enough to be taken into the statements that use it.
CREATE FUNCTION current_tenant() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT nullif(current_setting('trunkline.tenant', true), '')::uuid
$$;

-- The same as lanes and the scopes of campaigns have it in their names.
CREATE FUNCTION current_tenant_hex() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT replace(current_setting('trunkline.tenant', true), '-', '')
$$;

-- Puts a table under the rules: "own" says which rows are the tenant's, "written" what it may write (NULL: the same), "rights"
-- what trunkline_web may do with them. Whoever has the owner's rights sees all. Again: the rules anew.
CREATE FUNCTION guard_tenant_table(guarded regclass, own text DEFAULT 'tenant_id = current_tenant()', written text DEFAULT NULL,
                                   rights text DEFAULT 'SELECT, INSERT, UPDATE, DELETE')
RETURNS void LANGUAGE plpgsql SET client_min_messages = warning AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', guarded);
    EXECUTE format('DROP POLICY IF EXISTS own ON %s', guarded);
    EXECUTE format('DROP POLICY IF EXISTS system ON %s', guarded);
    EXECUTE format('CREATE POLICY own ON %s TO trunkline_web USING (%s) WITH CHECK (%s)', guarded, own, coalesce(written, own));
    EXECUTE format('CREATE POLICY system ON %s TO %I USING (true)', guarded,
                   (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = guarded));
    EXECUTE format('REVOKE ALL ON %s FROM trunkline_web', guarded);
    EXECUTE format('GRANT %s ON %s TO trunkline_web', rights, guarded);
END $$;

-- Every table that has a tenant_id and no rules yet, by the defaults: for a migration after which none may be without.
CREATE FUNCTION guard_tenant_tables() RETURNS SETOF regclass LANGUAGE plpgsql AS $$
DECLARE
    late regclass;
BEGIN
    FOR late IN
        SELECT c.oid FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
        WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relforcerowsecurity
          AND a.attname = 'tenant_id' AND NOT a.attisdropped
        ORDER BY c.relname
    LOOP
        PERFORM guard_tenant_table(late);
        RETURN NEXT late;
    END LOOP;
END $$;

-- Whether there is such a call, and another tenant's. What belongs to a call is written in the same statement as the call, which
-- cannot see it yet: so what is written is asked this and not whether the call is its own. That there is a call at all is the
-- reference's business.
DO $$ BEGIN
    EXECUTE format($f$
        CREATE FUNCTION is_foreign_call(asked uuid) RETURNS boolean LANGUAGE plpgsql STABLE SECURITY DEFINER
        SET search_path = %I, pg_temp AS $body$
        BEGIN
            RETURN EXISTS (SELECT FROM calls c WHERE c.id = asked AND c.tenant_id IS DISTINCT FROM current_tenant());
        END $body$ $f$, current_schema());
END $$;
REVOKE EXECUTE ON FUNCTION is_foreign_call(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION is_foreign_call(uuid) TO trunkline_web;

-- In everybody's order of locks. OFFSET 0: one look at the call by its id, and never a list of all the tenant's calls.
SELECT guard_tenant_table('tenants', 'id = current_tenant()', NULL, 'SELECT, UPDATE (canceled_before)');
SELECT guard_tenant_table('api_keys', rights => 'SELECT, INSERT, UPDATE');
SELECT guard_tenant_table('agents');
SELECT guard_tenant_table('calls', rights => 'SELECT, INSERT, UPDATE');
-- The lane has the tenant in its name: no other table is asked, however many attempts are walked.
SELECT guard_tenant_table('attempts', 'split_part(lane, ''.'', 3) = (SELECT current_tenant_hex())',
    'split_part(lane, ''.'', 3) = (SELECT current_tenant_hex()) AND NOT is_foreign_call(call_id)', 'SELECT, INSERT, UPDATE');
SELECT guard_tenant_table('call_events', 'EXISTS (SELECT FROM calls c WHERE c.id = call_id OFFSET 0)',
    'NOT is_foreign_call(call_id)', 'SELECT, INSERT');
SELECT guard_tenant_table('call_commands', 'EXISTS (SELECT FROM calls c WHERE c.id = call_id OFFSET 0)',
    'NOT is_foreign_call(call_id)', 'SELECT, INSERT, UPDATE');
SELECT guard_tenant_table('contradictions', 'EXISTS (SELECT FROM calls c WHERE c.id = call_id OFFSET 0)',
    'NOT is_foreign_call(call_id)', 'SELECT, INSERT');
SELECT guard_tenant_table('outbox', rights => 'SELECT, INSERT, UPDATE');
SELECT guard_tenant_table('idempotency_keys', rights => 'SELECT, INSERT, UPDATE');
SELECT guard_tenant_table('recordings', rights => 'SELECT, UPDATE');
SELECT guard_tenant_table('numbers', rights => 'SELECT');
SELECT guard_tenant_table('queue_counts', rights => 'SELECT');
SELECT guard_tenant_table('queue_deltas', rights => 'SELECT, INSERT');
SELECT guard_tenant_table('scopes', 'scope = ''tenant:'' || current_tenant() OR (split_part(scope, '':'', 1) IN (''campaign'','
    ' ''caller'') AND split_part(scope, '':'', 2) = current_tenant_hex())', NULL, 'SELECT');
SELECT guard_tenant_tables();

-- Of what is the platform's a request needs: which route leads to a number, and in which words a carrier refuses.
GRANT SELECT (name, prefix) ON routes TO trunkline_web;
GRANT SELECT (id, reject_texts) ON carriers TO trunkline_web;
