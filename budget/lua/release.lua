-- Gives a lease back after the end. ARGV: attempt, fence, linger us. Returns 1, or 0 when the caller does not own it.
if drop_lease(ARGV[1], ARGV[2], tonumber(ARGV[3]), clock_us()) then
  return 1
end
return 0
