-- A carrier's numbers, live: a change acts on the next permit. ARGV: carrier, max channels, interval us, linger us, paused.
local key = P .. 'carrier:' .. ARGV[1]
local before = redis.call('HMGET', key, 'max_channels', 'interval_us', 'linger_us', 'paused')
if before[1] == ARGV[2] and before[2] == ARGV[3] and before[3] == ARGV[4] and before[4] == ARGV[5] then
  return 0
end
redis.call('HSET', key, 'max_channels', ARGV[2], 'interval_us', ARGV[3], 'linger_us', ARGV[4], 'paused', ARGV[5])
redis.call('PUBLISH', P .. 'wake', ARGV[1])
return 1
