-- The attempt is claimed in Postgres: it leaves the set of those to be given back. ARGV: attempt, fence, 1 when its switch
-- has acknowledged it too: then it is known when its INVITE left. Returns 0 or 1.
local lease = read_lease(ARGV[1])
if not lease or lease.fence ~= ARGV[2] then
  return 0
end
call('ZREM', P .. 'popped', ARGV[1])
call('SREM', P .. 'in', ARGV[1])
if ARGV[3] == '1' then
  local now = clock_us()
  for _, scope in ipairs(lease.scopes) do
    if of_carrier(scope) then
      settle_invite(scope, ARGV[1], now, false)
    end
  end
end
return 1
