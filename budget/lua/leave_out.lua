-- An INVITE has left by now, at a time nobody knows, later than it should. A slot is left out for it at the carrier, and in
-- what it shares with others. ARGV: carrier. Slots that are granted already are not taken back, but none of them can be given back
-- for another call any more. Returns 1.
local now = clock_us()
for _, scope in ipairs(trunk_scopes(ARGV[1])) do
  local s = read_scope(scope, now, true)
  call('HSET', scope_key(scope), 'tat', whole(left_out(s, now, 1)))
end
return 1
