-- Whose turn it is: tenants and lanes as this script has read and changed them, each read once.
local clk = { urgent = tonumber(own.clk1 or 0), normal = tonumber(own.clk2 or 0), bulk = tonumber(own.clk3 or 0) }
local scopes, lanes, heads, others = {}, {}, {}, {}
local skipped = { urgent = {}, normal = {}, bulk = {} } -- tenants whose lanes are left to another carrier, this time
local first_limit, soonest -- of what was passed over: its name, when to look again
local moved_back, skips = false, 0

-- A pump asks at least every pump_idle_s (1 s); one that has not asked for longer is not there.
local THERE_US = 1600000
-- How long a carrier waits for a sister of its tier; how long it stays away after leaving a call to another carrier.
local SISTER_US, BETTER_POLL_US, SISTER_POLL_US = 250000, 50000, 10000
-- How many tenants one request looks at; with more, it comes back for the rest.
local LOOKS = 128
-- Tenants whose calls are left to another carrier, in one request: each costs several looks, and Redis does nothing else.
local SKIPS, SKIPS_POLL_US = 24, 10000

local function look_again(at)
  soonest = math.min(soonest or at, at)
end

local function scope_of(name)
  scopes[name] = scopes[name] or read_scope(name, now, false)
  return scopes[name]
end

local function lane_of(name)
  if not lanes[name] then
    local v = call('HMGET', P .. 'lane:' .. name, 'weight', 'share', 'carriers', 'spill', 'd:' .. carrier, 'at', 'scopes',
      'route', 'since')
    local alone = not string.find(v[3] or '', ',', 1, true)
    lanes[name] = { name = name, step = 1 / tonumber(v[1] or 1), share = 1 / tonumber(v[2] or 1),
      spill = tonumber(v[4] or 0), deferred = tonumber(v[5] or 0), at = tonumber(v[6] or 0), scopes = split(v[7]),
      route = v[8], since = tonumber(v[9] or 0), serving = alone and {} or servings(v[3]) }
  end
  return lanes[name]
end

-- Another carrier that could take a call now, as far as it alone is concerned; false when it could not.
local function open_carrier(id)
  if others[id] == nil then
    local o = read_scope('carrier:' .. id, now, true, { 'state', 'asked', 'more' })
    local ago = now - tonumber(o.own.asked or 0)
    local there = ago >= 0 and ago <= THERE_US and (o.own.state or 'ok') == 'ok' and not is_full(o)
    for _, scope in ipairs(there and split(o.own.more) or {}) do
      local s = read_scope(scope, now, true)
      there = there and not is_full(s)
      o.tat = s.step and math.max(o.tat, s.tat) or o.tat
      o.step = s.step and math.max(o.step or 0, s.step) or o.step
    end
    others[id] = there and o or false
  end
  return others[id]
end

-- Is there another carrier that should rather take the lane's call? One of a better tier that would begin it within the
-- spill time, or a sister of the same tier that has a slot now and has had less than its weight. Never for longer than the
-- spill time (a sister: a quarter of a second) since it last took one: whoever could and does not must not hold it up.
local function left_to_another(lane, class)
  local mine
  for _, s in ipairs(lane.serving) do
    mine = s.carrier == carrier and s or mine
  end
  if not mine then
    return nil
  end
  for _, s in ipairs(lane.serving) do
    local o = s.carrier ~= carrier and s.tier <= mine.tier and open_carrier(s.carrier)
    if o then
      local served = tonumber(call('HGET', P .. 'lane:' .. lane.name, 'at:' .. s.carrier) or 0)
      local waited = now - math.max(lane.since, served)
      if s.tier < mine.tier and waited >= 0 and waited < lane.spill then
        local before = call('LLEN', Q .. lane.name) * call('ZCARD', to_key(s.carrier, class))
        if math.max(0, o.tat - now - lead) + before * (o.step or 0) <= lane.spill then
          return s.carrier, BETTER_POLL_US
        end
      elseif s.tier == mine.tier and waited >= 0 and waited < SISTER_US and o.tat <= now + lead then
        local had = call('HMGET', P .. 'rvt:' .. lane.route, s.carrier, carrier)
        if tonumber(had[1] or 0) < tonumber(had[2] or 0) then
          return s.carrier, SISTER_POLL_US
        end
      end
    end
  end
  return nil
end

-- A tenant whose calls are left to another carrier goes as far back in this one's order as being served there would have
-- taken it: those behind it, who have no other carrier, are seen first next time.
local function move_back(class, h)
  local back = clk[class] + LAG
  if back > h.score + 0.000001 then
    call('HSET', P .. 'vt:' .. class, carrier .. ' ' .. h.member, offset(back - h.vt, back))
    call('ZADD', to_key(carrier, class), 'XX', exact(back), h.member)
    moved_back = true
  end
end

-- The first of a heap that is where it belongs; those that were served elsewhere meanwhile are moved back first.
local function head_of(class)
  local key, skip = to_key(carrier, class), skipped[class]
  local at = 0
  for _ = 1, 3 * LOOKS do
    local two = call('ZRANGE', key, at, at + 1, 'WITHSCORES')
    local member = two[1]
    if not member then
      return nil
    end
    if skip[member] then
      at = at + 1
      if at >= LOOKS then
        look_again(now + (moved_back and 5000 or BETTER_POLL_US))
        return nil
      end
    else
      local score = tonumber(two[2])
      local vt, off, base = place_of(carrier, class, member)
      local place = math.min(vt + off, math.max(score, base + LAG))
      if place < vt + off then
        off = place - vt
        call('HSET', P .. 'vt:' .. class, carrier .. ' ' .. member, offset(off, base))
      end
      if place <= score + 0.000001 then
        return { member = member, tenant = tenant_of(member), score = score, vt = vt, off = off, second = tonumber(two[4]) }
      end
      call('ZADD', key, 'XX', exact(place), member)
    end
  end
  look_again(now + 1000) -- many were served elsewhere: the rest of them next time
  return nil
end
local function head(class)
  if heads[class] == nil then
    heads[class] = head_of(class) or false
  end
  return heads[class]
end

local function pass_over(item, scope, at)
  block(carrier, item, scope, at)
  first_limit = first_limit or scope
  if at then
    look_again(at)
  end
end

-- Whether a scope of the lane's side blocks a call at the slot, and until when (nil: until somebody gives something back).
local function blocks(s)
  if is_full(s) then
    return true, nil
  end
  if s.step and s.tat > slot then
    return true, s.tat - lead
  end
  return false, nil
end

-- The tenant's next lane that may be served, and its place; nil when there is none just now, and whether one was left to
-- another carrier.
local function lane_for(class, tenant, heap)
  local at = 0
  for _ = 1, LOOKS do
    local found = call('ZRANGE', heap, at, at + 1, 'WITHSCORES')
    local name = found[1]
    if not name then
      return nil, at > 0
    end
    local lane, held = lane_of(name), false
    lane.alone = at == 0 and not found[3]
    for _, scope in ipairs(lane.scopes) do
      local is, when = blocks(scope_of(scope))
      if is then
        leave_lane(carrier, class, tenant, name, tonumber(found[2]))
        pass_over(name, scope, when)
        held = true
        break
      end
    end
    if not held then
      local other, poll_us = left_to_another(lane, class)
      if not other then
        return name, tonumber(found[2])
      end
      if lane.deferred < math.max(lane.at, lane.since) or lane.deferred > now then
        lane.deferred = now
        call('HSET', P .. 'lane:' .. name, 'd:' .. carrier, whole(now))
        call('PUBLISH', P .. 'wake', other .. ' * 0') -- once for each call that is left to it
      end
      first_limit = first_limit or 'order'
      look_again(now + poll_us)
      at = at + 1
    end
  end
  look_again(now + 1000)
  return nil, true
end
