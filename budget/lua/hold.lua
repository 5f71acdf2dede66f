-- A carrier rests: nobody can say when an INVITE that was written will leave, so nothing else may leave within a window of
-- it, neither through it nor through what it shares with others, each for its own window (`rest`) if that is longer. ARGV:
-- carrier, us from now. Slots that are granted already
-- are not taken back, but none of them can be given back for another call any more.
local now = clock_us()
for _, scope in ipairs(trunk_scopes(ARGV[1])) do
  local window = tonumber(call('HGET', scope_key(scope), 'rest') or '') or 0
  rest(scope, settled(scope, now), now, now, math.max(window, tonumber(ARGV[2])))
end
return 1
