-- The attempt is claimed in Postgres: it leaves the set of those to be given back. ARGV: attempt, fence. Returns 0 or 1.
local lease = read_lease(ARGV[1])
if not lease or lease.fence ~= ARGV[2] then
  return 0
end
call('ZREM', P .. 'popped', ARGV[1])
call('SREM', P .. 'in', ARGV[1])
return 1
