-- The guard behind the wake-ups: scopes that somebody waits for although they have room. ARGV: none. Returns how many.
local now, found = clock_us(), 0
for _, scope in ipairs(call('SMEMBERS', P .. 'waiting')) do
  local s = is_seats(scope) and read_seats(scope, now) or read_scope(scope, now, false)
  if not is_full(s) then
    if s.step and s.tat > now then
      come_back(scope, s.tat)
    else
      wake(scope)
      found = found + 1
    end
  end
end
return found
