-- name: take
SELECT pg_try_advisory_lock(hashtextextended('leader:' || %(name)s, 0));

-- name: alive
SELECT true;
