-- name: look
SELECT (SELECT count(*) FROM api_keys y WHERE y.mode = 'test' AND (y.revoked_at IS NULL OR y.revoked_at > statement_timestamp())
        AND (y.expires_at IS NULL OR y.expires_at > statement_timestamp()))::int AS keys,
       (SELECT count(*) FROM switches s WHERE s.lab AND s.seen_at > %(since)s)::int AS switches,
       EXISTS (SELECT FROM routes r JOIN carriers k ON k.id = r.carrier_id AND k.lab WHERE r.name = %(route)s) AS routed;
