-- The calls of a batch, newest first; those that were posted alone are not in it.
CREATE INDEX CONCURRENTLY calls_batch ON calls (batch_id, id DESC) WHERE batch_id IS NOT NULL;
