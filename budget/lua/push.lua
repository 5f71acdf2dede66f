-- Puts attempts at the back of their lanes. Idempotent: an attempt already in a lane, or popped, or leased, is left alone.
-- ARGV: iso time, job data, job timeout s, result ttl s, then attempt, lane pairs. Returns how many were added.
local added = 0
local touched = {}
for i = 5, #ARGV, 2 do
  local id, lane = ARGV[i], ARGV[i + 1]
  if redis.call('EXISTS', P .. 'lease:' .. id) == 0 and redis.call('SADD', P .. 'in', id) == 1 then
    write_job(id, lane, ARGV[1], ARGV[2], ARGV[3], ARGV[4])
    redis.call('RPUSH', Q .. lane, id)
    touched[lane] = true
    added = added + 1
  end
end
for lane in pairs(touched) do
  redis.call('SADD', 'rq:queues', Q .. lane)
  activate(lane)
end
return added
