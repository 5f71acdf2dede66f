-- Writes the lease of a call that is known to live (from Postgres or from a switch): rebuilding and over-counting are safe.
-- ARGV: attempt, fence, carrier, lane, switch, lease us. An existing lease is left as it is. Returns 0 or 1.
local now = clock_us()
local id, switch = ARGV[1], ARGV[5]
local scopes = scopes_of(ARGV[3], ARGV[4], switch)
local text = lease_text(ARGV[2], ARGV[3], ARGV[4], switch ~= '' and switch or '-', now, 0, 0, scopes)
if not call('SET', P .. 'lease:' .. id, text, 'NX') then
  return 0
end
call('ZADD', P .. 'held:' .. scopes[1], whole(now + tonumber(ARGV[6])), id)
for i = 2, #scopes do
  call('HINCRBY', P .. 'held', scopes[i], '1')
end
return 1
