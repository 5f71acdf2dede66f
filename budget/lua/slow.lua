-- The carrier refused a call for its own limit: at once fewer, then slowly back. ARGV: carrier, what was refused ('cps' or
-- 'channels'), factor, least, recover us, rest us ('': the carrier's own, its window and jitter). Refusals within one rest
-- count once: they are of calls that were out already. Returns 1 when it was slowed.
local now = clock_us()
local scope = 'carrier:' .. ARGV[1]
local key = scope_key(scope)
local factor, least, recover = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local value, at = ARGV[2] == 'cps' and 'factor' or 'cap', ARGV[2] == 'cps' and 'factor_at' or 'cap_at'
local slowed_at = ARGV[2] == 'cps' and 'cps_refused' or 'channels_refused'
local v = call('HMGET', key, value, at, 'max', 'rest', 'recover', slowed_at)
local resting = tonumber(ARGV[6]) or tonumber(v[4] or '') or 1000000
local last = tonumber(v[6] or '')
if last and now >= last and now - last < resting then
  return 0
end
local present = v[1] and v[1] ~= '' and returning(tonumber(v[1]), tonumber(v[2]), now, tonumber(v[5] or '') or recover) or 1
local max = tonumber(v[3] or '')
if value == 'cap' and max and max > 0 then
  -- What it had taken when it refused (all but the refused one) is the better measure of what it allows; but with little up
  -- it is rather somebody behind the carrier who is full.
  local held = call('ZCARD', P .. 'held:' .. scope)
  present = 2 * held >= max and math.min(present, math.max(0, held - 1) / max) or present
end
call('HSET', key, value, exact(math.max(least, present * factor)), at, whole(now), 'recover', whole(recover),
  slowed_at, whole(now), 'special', '1')
if value == 'factor' then
  rest(scope, settled(scope, now), now, now, resting)
end
return 1
