-- A permit whose call may not be dialed after all (canceled, expired, paused), and of which nothing went to the switch.
-- The lease goes without linger. If no later slot of the carrier was granted and nothing else has moved its pacing since,
-- the slot is given back too, and the tenant is not charged. ARGV: attempt, fence.
-- Returns 2 (slot given back), 1 (slot spent), 0 when the caller does not own the lease.
local now = clock_us()
local lease = drop_lease(ARGV[1], ARGV[2], 0, now)
if not lease then
  return 0
end
local slot, key = tonumber(lease[4] or '0'), P .. 'tat:' .. lease[2]
if slot <= now or tonumber(redis.call('GET', key) or '0') ~= tonumber(lease[5]) then
  return 1
end
redis.call('SET', key, whole(slot))
refund(lease[3])
if redis.call('LLEN', Q .. lease[3]) > 0 then
  activate(lease[3])
end
return 2
