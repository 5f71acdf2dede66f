-- A permit that was not used: lease dropped, off RQ's intermediate list, back to the front of its lane, charge refunded.
-- The CPS slot stays burned on purpose: an INVITE may not leave late, and nothing proves when it would have.
-- ARGV: attempt, fence, iso time, job data, timeout s, result ttl s. Returns 1, or 0 when the caller does not own it.
local lease = drop_lease(ARGV[1], ARGV[2], 0, clock_us())
if not lease then
  return 0
end
local id, lane = ARGV[1], lease[3]
redis.call('LREM', Q .. lane .. ':intermediate', 0, id)
write_job(id, lane, ARGV[3], ARGV[4], ARGV[5], ARGV[6])
redis.call('SADD', P .. 'in', id)
redis.call('LPUSH', Q .. lane, id)
local lc = redis.call('HMGET', P .. 'lane:' .. lane, 'tenant', 'class', 'weight')
if lc[1] then
  local vt = tonumber(redis.call('HGET', P .. 'vt:' .. lc[2], lc[1]) or '0')
  redis.call('HSET', P .. 'vt:' .. lc[2], lc[1], string.format('%.6f', math.max(0, vt - 1 / tonumber(lc[3]))))
end
activate(lane)
return 1
