-- The attempt is claimed in Postgres: it leaves the set of those to be given back. ARGV: attempt, fence. Returns 0 or 1.
local fence = redis.call('HGET', P .. 'lease:' .. ARGV[1], 'fence')
if fence ~= ARGV[2] then
  return 0
end
redis.call('ZREM', P .. 'popped', ARGV[1])
redis.call('SREM', P .. 'in', ARGV[1])
return 1
