-- The attempt has ended; its channel goes on counting. ARGV: carrier, attempt, fence, us from now.
local now = clock_us()
settle(ARGV[1], now)
redis.call('ZADD', P .. 'linger:' .. ARGV[1], now + tonumber(ARGV[4]), ARGV[2] .. ':' .. ARGV[3])
return 1
