-- A carrier rests: nobody can say when an INVITE that was written will leave, so nothing else may leave within a window of
-- it. ARGV: carrier, us from now. Slots that are granted already are not taken back, but none of them can be given back
-- for another call any more: the pacing always moves, were it by 1 us.
local now = clock_us()
local tat = settle(ARGV[1], now)
redis.call('SET', P .. 'tat:' .. ARGV[1], whole(math.max(tat + 1, now + tonumber(ARGV[2]))))
return 1
