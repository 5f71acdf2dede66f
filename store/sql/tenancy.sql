-- name: enter
SELECT set_config('role', 'trunkline_web', false);

-- name: look
-- Of a role that is not there nothing can be asked; of one that is, whether it has the rights of whoever owns the tables.
SELECT w.oid IS NOT NULL,
       coalesce(w.rolsuper OR w.rolbypassrls OR pg_has_role(w.oid, o.relowner, 'MEMBER'), false),
       coalesce(pg_has_role(session_user, w.oid, CASE WHEN current_setting('server_version_num')::integer >= 160000
                                                      THEN 'SET' ELSE 'MEMBER' END), false),
       ARRAY(SELECT c.relname::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
             WHERE c.relnamespace = o.relnamespace AND c.relkind IN ('r', 'p') AND NOT c.relforcerowsecurity
               AND a.attname = 'tenant_id' AND NOT a.attisdropped ORDER BY c.relname),
       NOT (me.rolsuper OR me.rolbypassrls OR pg_has_role(session_user, o.relowner, 'USAGE'))
FROM pg_class o
CROSS JOIN pg_roles me
LEFT JOIN pg_roles w ON w.rolname = %(role)s
WHERE o.oid = 'calls'::regclass AND me.rolname = session_user;
