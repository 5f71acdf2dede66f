-- name: take
-- Keeps the duty, or takes it where nobody has it (any more). The clock is this server's, as it is when the row is locked.
INSERT INTO switches AS s (name, controller, duty_fence, duty_until)
VALUES (%(switch)s, %(me)s, 1, clock_timestamp() + make_interval(secs => %(lease_s)s))
ON CONFLICT (name) DO UPDATE SET
    duty_fence = s.duty_fence + CASE WHEN s.controller IS DISTINCT FROM excluded.controller THEN 1 ELSE 0 END,
    controller = excluded.controller,
    duty_until = clock_timestamp() + make_interval(secs => %(lease_s)s)
WHERE s.controller = excluded.controller OR s.controller IS NULL OR s.duty_until IS NULL OR s.duty_until < clock_timestamp()
RETURNING duty_fence;

-- name: leave
UPDATE switches SET controller = NULL, duty_until = NULL WHERE name = %(switch)s AND controller = %(me)s;

-- name: ask_fast
-- A renewal need not survive a crash of the server; a change of hands is as good as any other row all the same, because
-- what must never happen twice is claimed by a commit of its own.
SELECT set_config('synchronous_commit', 'off', false);
