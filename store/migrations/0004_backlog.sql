-- Lanes hold a window of what is due; the rest waits here. It is found lane by lane, at a cost that has to do with how many
-- lanes there are and nothing with how much waits in them.

-- A place in a lane: by (due_at, id), whoever is laned already and whoever is not.
CREATE INDEX attempts_backlog ON attempts (lane, due_at, id) WHERE state = 'queued';

-- What is in no lane. What is laned leaves this index, so that a refill begins with what it wants; so does what will never
-- be laned (pushed_epoch -1: its call has expired or was canceled with the whole queue), so that no number of those holds
-- up the others of its lane. attempts_unpushed, with the same rows by time alone, tells the next moment at which any is due.
CREATE INDEX attempts_unlaned ON attempts (lane, due_at, id) WHERE state = 'queued' AND pushed_epoch IS NULL;
COMMENT ON COLUMN attempts.pushed_epoch IS 'the budget epoch in which it was laned; NULL: in no lane; -1: never to be laned';

-- What a tenant has that is not over, the oldest first: a canceled queue is ended by it. Nobody asks for these by id alone.
CREATE INDEX calls_open ON calls (tenant_id, created_at) WHERE NOT ended;

-- What has left leaves dead entries at the front, where every look begins. The default waits for a fifth of the table.
ALTER TABLE attempts SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);
ALTER TABLE calls SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);

-- What the new ones stand in for; last, because from the first of these until the end nothing is read.
DROP INDEX attempts_due;
DROP INDEX calls_live;
