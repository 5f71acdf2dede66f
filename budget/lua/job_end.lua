-- The same jobs are done, and nothing of them is kept: what became of the dial is in Postgres. ARGV: worker, then attempt, lane,
-- execution, again and again.
local worker = 'rq:worker:' .. ARGV[1]
for i = 2, #ARGV, 3 do
  local id, lane, execution = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  call('ZREM', 'rq:wip:' .. lane, id .. ':' .. execution)
  call('DEL', 'rq:execution:' .. id .. ':' .. execution, 'rq:executions:' .. id)
  -- Else it is back in a lane already, as another job of the same name.
  if call('HGET', 'rq:job:' .. id, 'status') == 'started' then
    call('DEL', 'rq:job:' .. id)
  end
  if call('HGET', worker, 'current_job') == id then
    call('HDEL', worker, 'current_job')
  end
end
call('HINCRBY', worker, 'successful_job_count', (#ARGV - 1) / 3)
