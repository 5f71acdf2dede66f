-- The tables that came after 0017 under its rules, each with what a tenant's request may do with its own rows. What an operator
-- alone sets (rules, numbers that may be shown) is read.
SELECT guard_tenant_table('tenant_rules', rights => 'SELECT');
SELECT guard_tenant_table('caller_ids', rights => 'SELECT');
SELECT guard_tenant_tables();

-- A call says by whom it was carried.
GRANT SELECT (name) ON carriers TO trunkline_web;
