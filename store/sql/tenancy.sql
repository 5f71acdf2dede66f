-- name: enter
SELECT set_config('role', 'trunkline_web', false);

-- name: look
-- Of a role that is not there nothing can be asked; of one that is: whether it has the rights of whoever owns the tables, and what
-- else it has that no migration gave it. Of this login: what it may beyond that role. Of all logins: who else may take it on here.
WITH tables AS (
    SELECT c.oid, c.relname::text, c.relowner, c.relforcerowsecurity, p.may
    FROM pg_class c JOIN pg_class o ON o.relnamespace = c.relnamespace
    CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) p(may)
    WHERE o.oid = 'calls'::regclass AND c.relkind IN ('r', 'p')
)
SELECT w.oid IS NOT NULL,
       coalesce(w.rolsuper OR w.rolbypassrls OR pg_has_role(w.oid, o.relowner, 'MEMBER'), false),
       coalesce(pg_has_role(session_user, w.oid, CASE WHEN current_setting('server_version_num')::integer >= 160000
                                                      THEN 'SET' ELSE 'MEMBER' END), false),
       ARRAY(SELECT c.relname::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
             WHERE c.relnamespace = o.relnamespace AND c.relkind IN ('r', 'p') AND NOT c.relforcerowsecurity
               AND a.attname = 'tenant_id' AND NOT a.attisdropped ORDER BY c.relname),
       NOT (me.rolsuper OR me.rolbypassrls OR pg_has_role(session_user, o.relowner, 'USAGE')),
       ARRAY(SELECT k.word FROM (VALUES ('LOGIN', w.rolcanlogin), ('CREATEDB', w.rolcreatedb), ('CREATEROLE', w.rolcreaterole),
                                        ('REPLICATION', w.rolreplication)) k(word, has) WHERE k.has)
       || ARRAY(SELECT 'member of ' || r.rolname FROM pg_roles r
                WHERE r.oid <> w.oid AND pg_has_role(w.oid, r.oid, 'MEMBER') ORDER BY r.rolname)
       || ARRAY(SELECT 'owner of ' || c.relname FROM pg_class c
                WHERE c.relnamespace = o.relnamespace AND c.relowner = w.oid AND c.relkind IN ('r', 'p') ORDER BY c.relname)
       || ARRAY(SELECT t.may || ' on ' || t.relname FROM tables t
                WHERE t.relowner <> w.oid AND has_table_privilege(w.oid, t.oid, t.may)
                  AND (t.may IN ('TRUNCATE', 'REFERENCES', 'TRIGGER') OR t.may <> 'SELECT' AND NOT t.relforcerowsecurity)
                ORDER BY t.relname, t.may),
       ARRAY(SELECT k.word FROM (VALUES ('CREATEDB', me.rolcreatedb), ('CREATEROLE', me.rolcreaterole),
                                        ('REPLICATION', me.rolreplication)) k(word, has) WHERE k.has)
       || ARRAY(SELECT 'member of ' || r.rolname FROM pg_roles r
                WHERE r.oid NOT IN (w.oid, me.oid) AND pg_has_role(session_user, r.oid, 'MEMBER')
                  AND NOT pg_has_role(w.oid, r.oid, 'MEMBER') ORDER BY r.rolname)
       || ARRAY(SELECT t.may || ' on ' || t.relname FROM tables t
                WHERE has_table_privilege(session_user, t.oid, t.may) AND NOT has_table_privilege(w.oid, t.oid, t.may)
                ORDER BY t.relname, t.may),
       ARRAY(SELECT r.rolname::text FROM pg_roles r
             WHERE r.rolcanlogin AND NOT r.rolsuper AND r.oid NOT IN (w.oid, me.oid) AND pg_has_role(r.oid, w.oid, 'MEMBER')
               AND NOT pg_has_role(r.oid, o.relowner, 'MEMBER') AND has_database_privilege(r.oid, current_database(), 'CONNECT')
             ORDER BY r.rolname),
       me.rolname::text
FROM pg_class o
CROSS JOIN pg_roles me
LEFT JOIN pg_roles w ON w.rolname = %(role)s
WHERE o.oid = 'calls'::regclass AND me.rolname = session_user;
