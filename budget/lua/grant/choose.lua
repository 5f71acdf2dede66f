-- Whose turn it is.

-- How many tenants one request looks at; with more, it comes back for the rest.
local LOOKS = 128
-- Tenants whose calls are left to another carrier, in one request: each costs several looks, and Redis does nothing else.
local SKIPS = 24
local SKIPS_POLL_US = 10000

local function look_again(g, at)
  if not g.soonest or at < g.soonest then
    g.soonest = at
  end
end

-- A scope of the lane's side; false when it limits nothing.
local function scope_of(g, name)
  local s = g.scopes[name]
  if s == nil then
    if string.byte(name) == 115 then -- seats: no other scope of a lane's begins so
      s = seldom().read_seats(name, g.now)
    else
      s = g.limits and call('SISMEMBER', P .. 'limited', name) == 1 and read_scope(name, g.now, false)
    end
    g.scopes[name] = s
  end
  return s
end

-- Whether a scope of the lane's side blocks a call at the slot. If so, `item` leaves the order until it does not: until its
-- rate allows the next one, or until somebody gives something back.
local function blocks(g, s, item, slot)
  local at
  if not s.paused and not (s.left and s.left <= 0) then -- (as is_full)
    if not s.step or s.tat <= slot then
      return false
    end
    at = s.tat - g.lead
    look_again(g, at)
  end
  seldom().block(g.carrier, item, s.name, at)
  g.limit = g.limit or s.name
  return true
end

-- A tenant's turn is over. What it was charged, perhaps for many permits, is written now.
local function put_back(g, class)
  local h = g.heads[class]
  g.heads[class] = nil
  if h and h.taken > 0 then
    local vt = exact(h.vt)
    local score = h.off == 0 and vt or exact(h.score)
    call('HSET', P .. 'vt:' .. class, h.tenant, vt, h.here, h.off_text .. ' ' .. score)
    call('ZADD', h.key, 'XX', score, h.member)
    call('HINCRBY', P .. 'held', h.scope, h.taken == 1 and '1' or whole(h.taken))
  end
end

-- The first of a heap that is where it belongs (false: nobody); those that were served elsewhere meanwhile are moved back
-- first. Who is second matters only to the next permit.
local function head(g, class)
  local h = g.heads[class]
  if h ~= nil then
    return h
  end
  local key, at = P .. 'to:' .. g.carrier .. ':' .. class, 0
  for _ = 1, 3 * LOOKS do
    local two
    if at > 0 then
      two = call('ZRANGE', key, whole(at), whole(at + 1), 'WITHSCORES')
    else
      two = call('ZRANGE', key, '0', g.want == 1 and '0' or '1', 'WITHSCORES')
    end
    local member = two[1]
    if not member then
      g.heads[class] = false
      return false
    end
    if g.skipped and g.skipped[class .. member] then
      at = at + 1
      if at >= LOOKS then
        look_again(g, g.now + (g.moved_back and 5000 or 50000))
        g.heads[class] = false
        return false
      end
    else
      local tenant = string.byte(member) == 94 and string.sub(member, 2) or member -- (as tenant_of)
      local here = g.carrier .. ' ' .. member
      local known = call('HMGET', P .. 'vt:' .. class, tenant, here)
      local off, base = string.match(known[2] or '0 0', '^(%S+) (%S+)$')
      h = { member = member, tenant = tenant, scope = 'tenant:' .. tenant, key = key, here = here, score = two[2] + 0,
        place = two[2], vt = (known[1] or 0) + 0, off = off + 0, off_text = off, second = two[4] and two[4] + 0, taken = 0, lane = false }
      if h.vt + h.off > h.score + 0.000001 then
        seldom().lagging(class, h, base + 0)
      end
      if h.vt + h.off <= h.score + 0.000001 then
        g.heads[class] = h
        return h
      end
      call('ZADD', key, 'XX', exact(h.vt + h.off), member)
    end
  end
  look_again(g, g.now + 1000) -- many were served elsewhere: the rest of them next time
  g.heads[class] = false
  return false
end

-- The tenant's next lane that may be served; nil when there is none just now, and whether one was left to another carrier.
local function lane_for(g, class, h, heap, slot)
  local at = 0
  for _ = 1, LOOKS do
    local lane = h.lane -- the tenant has no other
    if not lane then
      local found = at > 0 and call('ZRANGE', heap, whole(at), whole(at + 1)) or call('ZRANGE', heap, '0', '1')
      local name = found[1]
      if not name then
        return nil, at > 0
      end
      lane = g.lanes[name]
      if not lane then
        local key = P .. 'lane:' .. name
        local conf = call('HMGET', key, 'weight', 'share', 'carriers', 'scopes')
        lane = { name = name, key = key, queue = Q .. name, step = 1 / (conf[1] or 1), share = 1 / (conf[2] or 1),
          scopes = conf[4] and conf[4] ~= '' and split(conf[4]), taken = 0, serving = false,
          before = ' ' .. g.carrier .. ' ' .. name .. g.lease_switch, after = ' ' .. h.scope .. g.lease_after }
        if lane.scopes then
          lane.after = lane.after .. ',' .. conf[4]
        end
        if conf[3] and string.find(conf[3], ',', 1, true) then
          seldom().read_serving(lane, conf[3], g.carrier)
        end
        g.lanes[name] = lane
      end
      h.lane = at == 0 and not found[2] and lane
    end
    local held, poll_us = false, nil
    if lane.scopes then
      for _, scope in ipairs(lane.scopes) do
        local s = scope_of(g, scope)
        if s and blocks(g, s, lane.name, slot) then
          seldom().leave_lane(g.carrier, class, h.tenant, lane.name)
          h.lane, held = false, true
          break
        end
      end
    end
    if not held then
      poll_us = lane.serving and seldom().left_to_another(g, lane, class)
      if not poll_us then
        return lane
      end
      g.limit = g.limit or 'order'
      look_again(g, g.now + poll_us)
      h.lane, at = false, at + 1
    end
  end
  look_again(g, g.now + 1000)
  return nil, true
end
