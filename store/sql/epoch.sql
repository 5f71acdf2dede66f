-- name: get
SELECT epoch, opened_at, redis_run_id, scripts FROM budget_epoch;

-- name: bump
UPDATE budget_epoch SET epoch = epoch + 1, opened_at = NULL, redis_run_id = %(run_id)s,
    scripts = coalesce(%(scripts)s, scripts)
WHERE epoch = %(expected)s RETURNING epoch;

-- name: mark_open
UPDATE budget_epoch SET opened_at = %(now)s WHERE epoch = %(epoch)s;
