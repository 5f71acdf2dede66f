-- Gives leases back after the end. ARGV: attempt, fence, linger us (-1: the carrier's own), again and again. Returns how many
-- the caller owned.
local now, freed = clock_us(), 0
for i = 1, #ARGV, 3 do
  if drop_lease(ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]), now) then
    freed = freed + 1
  end
end
return freed
