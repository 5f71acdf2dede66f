-- The attempt has ended; its channel goes on counting on the carrier's side. ARGV: carrier, attempt, fence, us from now.
local now = clock_us()
for _, scope in ipairs(trunk_scopes(ARGV[1])) do
  add_linger(scope, ARGV[2] .. ':' .. ARGV[3], now, tonumber(ARGV[4]))
end
return 1
