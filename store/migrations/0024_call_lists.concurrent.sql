-- Calls by whom they went to, and by the enterprise's own name for them, newest first: store/sql/call_list.sql. Neither changes
-- in a call's life.
CREATE INDEX CONCURRENTLY calls_to ON calls (tenant_id, to_number, id DESC);
CREATE INDEX CONCURRENTLY calls_reference ON calls (tenant_id, client_reference, id DESC) WHERE client_reference IS NOT NULL;
-- Whether calls of an agent are still to come: it is not put away then.
CREATE INDEX CONCURRENTLY calls_agent_live ON calls (agent_id) WHERE NOT ended;
