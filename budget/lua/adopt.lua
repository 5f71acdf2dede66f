-- Writes the lease of a call that is known to live (from Postgres or from a switch): rebuilding and over-counting are safe.
-- ARGV: attempt, fence, carrier, lane, switch, lease us. An existing lease is left as it is. Returns 0 or 1.
local id = ARGV[1]
if call('EXISTS', P .. 'lease:' .. id) == 1 then
  return 0
end
hold(id, ARGV[2], ARGV[3], ARGV[4], ARGV[5], clock_us(), tonumber(ARGV[6]), scopes_of(ARGV[3], ARGV[4], ARGV[5]))
return 1
