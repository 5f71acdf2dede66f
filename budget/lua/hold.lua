-- A carrier rests: nobody can say when an INVITE that was written will leave, so nothing else may leave within a window of
-- it. ARGV: carrier, us from now. Slots that are granted already are not taken back.
local key = P .. 'tat:' .. ARGV[1]
local rest = clock_us() + tonumber(ARGV[2])
if rest > tonumber(redis.call('GET', key) or '0') then
  redis.call('SET', key, string.format('%.0f', rest))
end
return 1
