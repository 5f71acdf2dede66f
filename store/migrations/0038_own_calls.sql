-- A tenant's own calls, said so that no index can be chosen by it. As "tenant_id = ..." (0017) the rule was a way to find rows as well:
-- a statement that a tenant's process had planned while there were few calls, and kept, found a call by its id in a walk through all
-- that the tenant ever had (a hangup after 10,000 more: 5 s and a 503). What wants a tenant's calls says tenant_id itself, as every
-- statement does; the rule only judges. The tenant's own row in the same way: where a call is joined to it, the rule of the one
-- would be a way to the other.
--
-- The rules are the same ones: processes of the version before go on beside it. The locks on the tables are held for a moment.

ALTER POLICY own ON calls USING ((tenant_id = current_tenant()) IS TRUE) WITH CHECK (tenant_id = current_tenant());
ALTER POLICY own ON tenants USING ((id = current_tenant()) IS TRUE) WITH CHECK (id = current_tenant());
