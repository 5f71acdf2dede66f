-- A permit: the next call of a class, and all that follows from it.
local floor, floor_share = tonumber(own.floor or 0), tonumber(own.bulk_floor or 0)
local urgent_share = tonumber(own.urgent_share or 1)
local granted, ids, fence = {}, {}, nil
local held, outs = {}, {} -- scope -> {score, id, ...}
local clk_moved = {}
local lease_until = whole(now + tonumber(ARGV[7]))

-- The classes in today's order: class first, but bulk has a floor, which urgent calls may put off for two turns.
local BULK_FIRST = { 'bulk', 'urgent', 'normal' }
local function classes()
  if floor_share > 0 and trunk.step then
    local turn = trunk.step / floor_share
    if slot >= floor or floor > slot + turn then -- (so far ahead: the clock stepped back, or the rate was raised)
      if not head('bulk') then
        floor = slot -- nobody waits: nothing is owed
      elseif not head('urgent') or slot >= floor + 2 * turn then
        return BULK_FIRST
      end
    end
  end
  return CLASSES
end

-- Urgent beyond the tenant's share of the carrier, while others wait: it goes on among the normal calls until the share
-- allows again. Returns whether it was moved.
local function beyond_cap(h)
  if urgent_share >= 1 or not trunk.step then
    return false
  end
  local used = tonumber(call('HGET', P .. 'uvt:' .. carrier, h.tenant) or '0')
  local burst = math.max(1000000, trunk.step / urgent_share)
  if used <= slot + burst or used > slot + burst + CAPPED_US then
    return false
  end
  if not (h.second or head('normal') or head('bulk')) then
    return false
  end
  call('ZREM', to_key(carrier, 'urgent'), h.member)
  enter(carrier, 'normal', '^' .. h.tenant)
  call('ZADD', P .. 'demoted:' .. carrier, whole(used - burst), h.tenant)
  local first = call('ZRANGE', P .. 'demoted:' .. carrier, 0, 0, 'WITHSCORES')
  call('HSET', ckey, 'promote', whole(first[2]))
  heads.urgent, heads.normal = nil, nil
  return true
end

local function count_in(s)
  s.left = s.left and s.left - 1
  if s.step then
    s.tat, s.moved = slot + s.step, true
  end
end

-- The tenant pays by its weight, the lane by its campaign's; a carrier's present is the place of the last one served.
local function charge(class, h, lane, heap)
  if h.score > clk[class] then
    clk[class], clk_moved[class] = h.score, true
  end
  h.vt = h.vt + lane.step
  h.score = h.vt + h.off
  call('HSET', P .. 'vt:' .. class, h.tenant, exact(h.vt), carrier .. ' ' .. h.member, offset(h.off, h.score))
  call('ZADD', to_key(carrier, class), 'XX', exact(h.score), h.member)
  if not lane.alone then
    call('ZINCRBY', heap, exact(lane.share), lane.name)
  end
  if h.second and h.score >= h.second then
    heads[class] = nil
  end
end

-- What the carriers of the lane are to know of each other.
local function tell_others(lane)
  local had, mine = P .. 'rvt:' .. lane.route, 0
  for _, s in ipairs(lane.serving) do
    if s.carrier == carrier then
      mine = tonumber(call('HINCRBYFLOAT', had, carrier, 1 / s.weight))
    end
  end
  for _, s in ipairs(lane.serving) do -- a carrier that was away has no claim on all that it missed
    if s.carrier ~= carrier and tonumber(call('HGET', had, s.carrier) or 0) < mine - 2 then
      call('HSET', had, s.carrier, exact(mine - 2))
    end
  end
  lane.at = now
  call('HSET', P .. 'lane:' .. lane.name, 'at', whole(now), 'at:' .. carrier, whole(now))
end

local function take(class, h)
  local real = h.member == h.tenant and class or 'urgent' -- whose lanes: a '^' member's are urgent ones
  local tenant_scope = scope_of('tenant:' .. h.tenant)
  local is, when = blocks(tenant_scope)
  if is then
    call('ZREM', to_key(carrier, class), h.member)
    pass_over('@' .. real .. '|' .. h.tenant, tenant_scope.name, when)
    heads[class] = nil
    return false
  end
  local heap = lo_key(carrier, real, h.tenant)
  local name, place = lane_for(real, h.tenant, heap)
  if not name then
    if place then
      skipped[class][h.member] = true
      skips = skips + 1
      move_back(class, h)
    else
      call('ZREM', to_key(carrier, class), h.member)
    end
    heads[class] = nil
    return false
  end
  local lane = lane_of(name)
  local id = call('LPOP', Q .. name)
  if not id then
    leave_lane(carrier, real, h.tenant, name, place)
    if call('SISMEMBER', P .. 'overflow', name) == 1 then
      call('PUBLISH', P .. 'wake', 'refill')
    end
    return false
  end
  fence = fence or tonumber(epoch) * 4294967296 + call('INCRBY', P .. 'fence', want) - want
  local counted = { tenant_scope.name }
  for _, s in ipairs(shared) do
    counted[#counted + 1] = s.name
  end
  for _, scope in ipairs(lane.scopes) do
    counted[#counted + 1] = scope
  end
  local tat = trunk.step and slot + trunk.step or 0
  local text = lease_text(whole(fence + 1), carrier, name, switch, now, slot, tat, counted)
  if not is_attempt(id) or not call('SET', P .. 'lease:' .. id, text, 'NX') then
    call('SREM', P .. 'in', id) -- not an attempt, or one already under way (pushed twice by another hand): it must not dial
    return false
  end
  fence = fence + 1
  ids[#ids + 1] = id
  granted[#granted + 1] = { id, name, whole(slot - now), whole(fence) }
  for _, scope in ipairs(counted) do
    held[scope] = held[scope] or {}
    table.insert(held[scope], lease_until)
    table.insert(held[scope], id)
    if of_carrier(scope) then
      outs[scope] = outs[scope] or {}
      table.insert(outs[scope], whole(slot))
      table.insert(outs[scope], id)
    end
  end
  for _, s in ipairs(shared) do
    count_in(s)
  end
  count_in(tenant_scope)
  for _, scope in ipairs(lane.scopes) do
    count_in(scope_of(scope))
  end
  charge(class, h, lane, heap)
  if trunk.step and class == 'bulk' and floor_share > 0 then
    local turn = trunk.step / floor_share
    floor = math.min(math.max(floor, slot - 2 * turn), slot) + turn -- what it was put off by is made up
  end
  if trunk.step and real == 'urgent' and urgent_share < 1 then
    local used = tonumber(call('HGET', P .. 'uvt:' .. carrier, h.tenant) or 0)
    call('HSET', P .. 'uvt:' .. carrier, h.tenant, whole(math.max(used, slot) + trunk.step / urgent_share))
  end
  if #lane.serving > 1 then
    tell_others(lane)
  end
  return true
end
