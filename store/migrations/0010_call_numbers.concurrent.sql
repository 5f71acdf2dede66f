-- Who calls a number, for the caps per day (number_rang and number_history look by it).
CREATE INDEX CONCURRENTLY calls_number ON calls (tenant_id, to_number) WHERE retry IS NOT NULL;
