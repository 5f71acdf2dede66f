-- Opens an epoch. Each carrier's first slot lies one window plus jitter ahead, so whatever an earlier life of the budget
-- granted has left the carrier's window. ARGV: epoch, run id, then carrier, hold us pairs. Returns 0 when it is not the
-- rebuild under way: a later leader's epoch is never replaced, and leases that were forgotten meanwhile are not missed.
if redis.call('GET', P .. 'rebuilding') ~= ARGV[1] then
  return 0
end
local now = clock_us()
for i = 3, #ARGV, 2 do
  redis.call('SET', P .. 'tat:' .. ARGV[i], whole(now + tonumber(ARGV[i + 1])))
  redis.call('SET', P .. 'seen:' .. ARGV[i], whole(now))
end
redis.call('SET', P .. 'run_id', ARGV[2])
redis.call('SET', P .. 'epoch', ARGV[1])
redis.call('DEL', P .. 'rebuilding')
redis.call('PUBLISH', P .. 'wake', 'epoch')
return 1
