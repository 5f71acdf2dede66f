-- Last part of the head: leases. `lease:<attempt>` is one line of text: fence, carrier, lane, switch, granted at, slot, the
-- carrier's pacing after it, and every scope it counts in, by comma.

local function lease_text(fence, carrier, lane, switch, at, slot, tat, scopes)
  return table.concat({ fence, carrier, lane, switch, whole(at), whole(slot), whole(tat), table.concat(scopes, ',') }, ' ')
end

local function read_lease(id)
  local text = call('GET', P .. 'lease:' .. id)
  if not text then
    return nil
  end
  local fence, carrier, lane, switch, at, slot, tat, scopes =
    string.match(text, '^(%S+) (%S+) (%S+) (%S+) (%d+) (%d+) (%d+) (%S*)$')
  if not fence then
    return nil
  end
  local list = {}
  for scope in string.gmatch(scopes, '[^,]+') do
    list[#list + 1] = scope
  end
  return { fence = fence, carrier = carrier, lane = lane, switch = switch, at = tonumber(at), slot = tonumber(slot),
    tat = tonumber(tat), scopes = list }
end

-- Every scope that a call of this lane counts in, at this carrier, on this switch.
local function scopes_of(carrier, lane, switch)
  local found = trunk_scopes(carrier)
  if switch ~= '' then
    found[#found + 1] = 'switch:' .. switch
  end
  found[#found + 1] = 'global'
  local known = read_lane(lane)
  for _, scope in ipairs(known and known.scopes or {}) do
    found[#found + 1] = scope
  end
  return found
end

-- Calls that came in count like all others; on the carrier's side and in seats also by themselves, for they are what the reserve
-- is for.
local INBOUND = '^dial%.inbound%.'
local function count_inbound(lane, scopes, by)
  if not string.find(lane, INBOUND) then
    return
  end
  for _, scope in ipairs(scopes) do
    if (of_carrier(scope) or is_seats(scope)) and call('HINCRBY', P .. 'held', 'in:' .. scope, by) <= 0 then
      call('HDEL', P .. 'held', 'in:' .. scope)
    end
  end
end

-- A lease is written, and counts everywhere.
local function hold(id, fence, carrier, lane, switch, now, lease_us, scopes)
  call('SET', P .. 'lease:' .. id, lease_text(fence, carrier, lane, switch ~= '' and switch or '-', now, 0, 0, scopes))
  call('ZADD', P .. 'held:' .. scopes[1], whole(now + lease_us), id)
  for i = 2, #scopes do
    call('HINCRBY', P .. 'held', scopes[i], '1')
    if is_seats(scopes[i]) then
      hold_seat(scopes[i], id, now)
    end
  end
  count_inbound(lane, scopes, '1')
end

local function write_lease(id, lease)
  call('SET', P .. 'lease:' .. id,
    lease_text(lease.fence, lease.carrier, lease.lane, lease.switch, lease.at, lease.slot, lease.tat, lease.scopes))
end

-- A call in progress counts in the pool no more.
local function leave_pool(lease, scope, id)
  free(scope, id)
  count_inbound(lease.lane, { scope }, '-1')
  call('SREM', P .. 'owed:' .. scope, id)
  call('SREM', P .. 'left:' .. string.match(scope, '^seats:([^:]+)'), id)
  wake_seats(string.match(scope, '^seats:([^:]+)'))
end

-- The seat that it has for another agent is given back, or, when it could not be reached, away until its keeper speaks for it.
local function leave_next(lease, id, at, now, unreachable)
  local key = P .. 'seat:' .. at
  local v = call('HMGET', key, 'state', 'attempt')
  call('HDEL', P .. 'next', id)
  if v[1] == 'held' and v[2] == id then
    if unreachable then
      call('HSET', key, 'state', 'away', 'attempt', '')
    else
      open_seat(at, now)
    end
  end
  local scope, found = 'seats:' .. string.match(at, '^[^/]+'), nil
  for i, one in ipairs(lease.scopes) do
    found = one == scope and i or found
  end
  if found then
    table.remove(lease.scopes, found)
    write_lease(id, lease)
    leave_pool(lease, scope, id)
  end
  return lease
end

-- Takes the lease away if the caller still owns it (same fence) and returns it. The channel goes on counting on the
-- carrier's side for linger_us; -1 means the carrier's own linger. Whoever waited for one of its places is woken. `unsent`:
-- it is proven that nothing of it was written to a switch.
local function drop_lease(id, fence, linger_us, now, unsent)
  local lease = read_lease(id)
  if not lease or lease.fence ~= fence then
    return nil
  end
  call('DEL', P .. 'lease:' .. id)
  call('ZREM', P .. 'popped', id)
  call('SREM', P .. 'in', id)
  count_inbound(lease.lane, lease.scopes, '-1')
  if linger_us < 0 then
    linger_us = tonumber(call('HGET', scope_key('carrier:' .. lease.carrier), 'linger') or '0')
  end
  for _, scope in ipairs(lease.scopes) do
    free(scope, id)
    local after = 0
    if of_carrier(scope) then
      settle_invite(scope, id, now, unsent)
      add_linger(scope, id .. ':' .. fence, now, linger_us)
      after = linger_us
    elseif is_seats(scope) then
      give_seat_back(scope, id, now)
    elseif call('SISMEMBER', P .. 'waiting', scope) == 1 then
      wake(scope)
    end
    wake_pumps(scope, 1, after)
  end
  return lease
end
