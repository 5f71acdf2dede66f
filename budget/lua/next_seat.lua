-- Another agent of the fleet is to take over a call in progress: a seat of its pool, beside the one that the call may have.
-- ARGV: attempt, pool, a seat that could not be reached ('': none). Asked again, it is the same seat. Returns {url, seat}, or
-- {'', 'no_lease'} or {'', 'no_seat'}.
local id, pool, bad = ARGV[1], ARGV[2], ARGV[3]
local lease, now = read_lease(id), clock_us()
if not lease then
  return { '', 'no_lease' }
end
local at = call('HGET', P .. 'next', id)
if at and at ~= bad and string.match(at, '^[^/]+') == pool then
  local v = call('HMGET', P .. 'seat:' .. at, 'url', 'attempt')
  if v[2] == id then
    return { v[1], at }
  end
end
if at then
  lease = leave_next(lease, id, at, now, at == bad)
end
local scope = 'seats:' .. pool
local inbound = string.find(lease.lane, INBOUND) ~= nil
local free_now = count_seats(read_scope(scope, now, false), now, inbound).left
at = free_now > 0 and seat_for(pool, id, now, 'next')
if not at then
  return { '', 'no_seat' }
end
lease.scopes[#lease.scopes + 1] = scope
write_lease(id, lease)
call('HINCRBY', P .. 'held', scope, '1')
count_inbound(lease.lane, { scope }, '1')
return { call('HGET', P .. 'seat:' .. at, 'url'), at }
