-- A carrier rests: nobody can say when an INVITE that was written will leave, so nothing else may leave within a window of
-- it, neither through it nor through what it shares with others. ARGV: carrier, us from now. Slots that are granted already
-- are not taken back, but none of them can be given back for another call any more.
local now = clock_us()
for _, scope in ipairs(trunk_scopes(ARGV[1])) do
  rest(scope, settled(scope, now), now, now, tonumber(ARGV[2]))
end
return 1
