-- Writes the lease of a call that is known to live (from Postgres or from a switch): rebuilding and over-counting are safe.
-- ARGV: attempt, fence, carrier, lane, switch, lease us. An existing lease is left as it is. Returns 0 or 1.
if redis.call('EXISTS', P .. 'lease:' .. ARGV[1]) == 1 then
  return 0
end
local now = clock_us()
redis.call('HSET', P .. 'lease:' .. ARGV[1], 'fence', ARGV[2], 'carrier', ARGV[3], 'lane', ARGV[4], 'switch', ARGV[5],
  'at', whole(now))
redis.call('ZADD', P .. 'leases:' .. ARGV[3], now + tonumber(ARGV[6]), ARGV[1])
return 1
