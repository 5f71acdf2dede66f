-- Another agent has taken over, or it came to nothing. ARGV: attempt, whether it has ('1'). Taken over: the call's seat is the next
-- one, if the new agent is of the fleet, and what it had before is given back: held, it is free at once, busy, its worker frees it.
-- Else the next one is given back so. Returns how many pools the call counts in now; -1: it has no lease.
local id, taken = ARGV[1], ARGV[2] == '1'
local lease, now = read_lease(id), clock_us()
if not lease then
  return -1
end
local at = call('HGET', P .. 'next', id)
if not taken then
  if at then
    lease = leave_next(lease, id, at, now, false)
  end
else
  local kept, own = {}, at and 'seats:' .. string.match(at, '^[^/]+')
  for i = #lease.scopes, 1, -1 do -- the last one is the new one
    local scope = lease.scopes[i]
    if not is_seats(scope) or scope == own then
      table.insert(kept, 1, scope)
      own = scope ~= own and own or nil
    else
      leave_pool(lease, scope, id)
    end
  end
  lease.scopes = kept
  write_lease(id, lease)
  local old = call('HGET', P .. 'seated', id)
  call('HDEL', P .. 'next', id)
  if at then
    call('HSET', P .. 'seated', id, at)
  else
    call('HDEL', P .. 'seated', id)
  end
  if old and old ~= at then
    local key = P .. 'seat:' .. old
    local v = call('HMGET', key, 'state', 'attempt')
    if v[1] == 'held' and v[2] == id then
      open_seat(old, now)
    elseif v[2] == id then
      call('HSET', key, 'left', id) -- its worker's word no longer says where the call is
    end
  end
end
local count = 0
for _, scope in ipairs(lease.scopes) do
  count = count + (is_seats(scope) and 1 or 0)
end
return count
