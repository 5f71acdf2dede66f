-- A permit that was not used: lease dropped, back to the front of its lane, charge refunded. The CPS slot stays burned on
-- purpose: an INVITE may not leave late, and nothing proves when it would have.
-- ARGV: attempt, fence, iso time, job data, timeout s, result ttl s. Returns 1, or 0 when the caller does not own it.
local now = clock_us()
local lease = drop_lease(ARGV[1], ARGV[2], 0, now, true)
if not lease then
  return 0
end
local id, lane = ARGV[1], lease.lane
write_job(id, lane, ARGV[3], ARGV[4], ARGV[5], ARGV[6])
call('SADD', P .. 'in', id)
local length = call('LPUSH', Q .. lane, id)
call('SADD', 'rq:queues', Q .. lane)
refund(lane, lease.carrier)
activate(lane, length == 1 and now or nil)
return 1
