-- A carrier's numbers, live: a change acts on the next permit. ARGV: carrier, max channels, interval us, linger us, paused,
-- gap us (see settle in lib.lua).
local key = P .. 'carrier:' .. ARGV[1]
local names = { 'max_channels', 'interval_us', 'linger_us', 'paused', 'gap_us' }
local before = redis.call('HMGET', key, unpack(names))
local changed = 0
for i, name in ipairs(names) do
  if before[i] ~= ARGV[i + 1] then
    redis.call('HSET', key, name, ARGV[i + 1])
    changed = 1
  end
end
if changed == 1 then
  redis.call('PUBLISH', P .. 'wake', ARGV[1])
end
return changed
