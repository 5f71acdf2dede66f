-- A permit whose call may not be dialed after all (canceled, expired, paused), and of which nothing went to the switch.
-- The lease goes without linger. If no later slot of the carrier was granted and nothing else has moved its pacing since,
-- the slot is given back too, and the tenant is not charged. ARGV: attempt, fence.
-- Returns 2 (slot given back), 1 (slot spent), 0 when the caller does not own the lease.
local now = clock_us()
local lease = drop_lease(ARGV[1], ARGV[2], 0, now, true)
if not lease then
  return 0
end
local own = 'carrier:' .. lease.carrier
if lease.slot <= now or lease.tat == 0 or settled(own, now) ~= lease.tat then
  return 1
end
call('HSET', scope_key(own), 'tat', whole(lease.slot))
refund(lease.lane, lease.carrier)
if call('LLEN', Q .. lease.lane) > 0 then
  activate(lease.lane)
end
call('PUBLISH', P .. 'wake', lease.carrier .. ' * 0')
return 2
