-- RQ's books of jobs that a worker begins: as RQ's own worker writes them, for many at once. ARGV: worker, RQ's time now, the
-- same in s since 1970, seconds a job may last, seconds a worker may be silent, then attempt, lane, execution, again and again.
local worker, now, at, lasts, silent = 'rq:worker:' .. ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
for i = 6, #ARGV, 3 do
  local id, lane, execution = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local key = 'rq:execution:' .. id .. ':' .. execution
  call('HSET', key, 'id', execution, 'created_at', at, 'last_heartbeat', at, 'worker_name', ARGV[1])
  call('EXPIRE', key, silent)
  call('ZADD', 'rq:executions:' .. id, whole(at + silent + 60), execution)
  call('EXPIRE', 'rq:executions:' .. id, silent + 60)
  call('ZADD', 'rq:wip:' .. lane, whole(at + lasts + 60), id .. ':' .. execution)
  call('HSET', 'rq:job:' .. id, 'last_heartbeat', now, 'status', 'started', 'started_at', now, 'worker_name', ARGV[1])
  call('HSET', worker, 'current_job', id)
end
call('HSET', worker, 'state', 'busy', 'current_job_working_time', 0, 'last_heartbeat', now)
call('EXPIRE', worker, silent)
