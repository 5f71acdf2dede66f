-- name: fold
-- In one statement, so that whoever reads sees each delta either in the count or beside it. Two who fold take different
-- deltas, and the counts in the same order. The two earlier moments wander on at most once in SAMPLE_S.
WITH taken AS (
    DELETE FROM queue_deltas WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM queue_deltas LIMIT %(limit)s FOR UPDATE SKIP LOCKED))
    RETURNING tenant_id, n
), summed AS (
    SELECT tenant_id, sum(n) AS n, -coalesce(sum(n) FILTER (WHERE n < 0), 0) AS left_n, count(*) AS deltas
    FROM taken GROUP BY tenant_id
), moment AS (
    SELECT coalesce(%(now)s::timestamptz, statement_timestamp()) AS now
), folded AS (
    INSERT INTO queue_counts AS q (tenant_id, n, left_n, before_at, then_at)
    SELECT tenant_id, n, left_n, now, now FROM summed CROSS JOIN moment ORDER BY tenant_id
    ON CONFLICT (tenant_id) DO UPDATE SET
        n = q.n + excluded.n,
        left_n = q.left_n + excluded.left_n,
        before_at = CASE WHEN excluded.then_at - q.then_at >= %(sample)s THEN q.then_at ELSE q.before_at END,
        before_n = CASE WHEN excluded.then_at - q.then_at >= %(sample)s THEN q.then_n ELSE q.before_n END,
        then_at = CASE WHEN excluded.then_at - q.then_at >= %(sample)s THEN excluded.then_at ELSE q.then_at END,
        then_n = CASE WHEN excluded.then_at - q.then_at >= %(sample)s THEN q.left_n + excluded.left_n ELSE q.then_n END
)
SELECT coalesce(sum(deltas), 0)::bigint FROM summed;

-- name: vacuum
-- Moves nothing and holds up nobody; what cannot be had at once is left for the next time.
VACUUM (SKIP_LOCKED, TRUNCATE false) queue_deltas;

-- name: look
-- Where the count has not begun there are deltas alone. Per second: what has left since the earlier of the two moments, or
-- since the later one where the earlier is long ago.
SELECT coalesce(q.n, 0) + coalesce((SELECT sum(d.n) FROM queue_deltas d WHERE d.tenant_id = t.id), 0)::bigint AS queued,
       t.max_queued,
       coalesce((q.left_n - since.n) / greatest(extract(epoch FROM moment.now - since.at), 1), 0)::float8 AS leaving_per_s
FROM tenants t
CROSS JOIN (SELECT coalesce(%(now)s::timestamptz, statement_timestamp()) AS now) moment
LEFT JOIN queue_counts q ON q.tenant_id = t.id
CROSS JOIN LATERAL (
    SELECT CASE WHEN recent THEN q.before_n ELSE q.then_n END AS n,
           CASE WHEN recent THEN q.before_at ELSE q.then_at END AS at
    FROM (SELECT moment.now - q.before_at <= 3 * %(sample)s::interval AS recent) how) since
WHERE t.id = %(tenant_id)s;

-- name: all
SELECT tenant_id, sum(n)::bigint FROM (
    SELECT tenant_id, n FROM queue_counts UNION ALL SELECT tenant_id, n FROM queue_deltas) counted
GROUP BY tenant_id;

-- name: take_turns
-- Near the bound those who accept for a tenant go one after the other, so that together they do not pass it.
SELECT pg_advisory_xact_lock(hashtextextended('queue bound', hashtextextended(%(tenant_id)s::uuid::text, 0)));
