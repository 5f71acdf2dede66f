-- Renews leases of channels that the switch confirmed live. ARGV: lease us, attempts... Returns how many were renewed.
local until_us, renewed = clock_us() + tonumber(ARGV[1]), 0
for i = 2, #ARGV do
  local lease = read_lease(ARGV[i])
  if lease then
    call('ZADD', P .. 'held:carrier:' .. lease.carrier, 'XX', until_us, ARGV[i])
    renewed = renewed + 1
  end
end
return renewed
