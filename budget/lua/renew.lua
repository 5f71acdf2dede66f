-- Renews leases of channels that the switch confirmed live. ARGV: lease us, attempts... Returns how many were renewed.
local until_us = clock_us() + tonumber(ARGV[1])
local renewed = 0
for i = 2, #ARGV do
  local carrier = redis.call('HGET', P .. 'lease:' .. ARGV[i], 'carrier')
  if carrier then
    redis.call('ZADD', P .. 'leases:' .. carrier, 'XX', until_us, ARGV[i])
    renewed = renewed + 1
  end
end
return renewed
