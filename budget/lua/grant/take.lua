-- A permit: the next call of a class, and all that follows from it.

local function count_in(s, count, slot)
  if s.left then
    s.left = s.left - count
  end
  if s.step then
    s.tat, s.moved = slot + s.step, true
  end
end

-- How many permits in a row the lane may have without that anything has to be decided anew: more than one only when nobody is
-- asked but the carrier's own trunk.
local function run_length(g, class, h, lane, slot)
  local trunk, left = g.trunk, g.want - g.taken
  if left == 1 or h.lane ~= lane or lane.scopes or lane.serving or #g.shared > 1 or not g.run_till or slot > g.run_till
    or class == 'urgent' and g.urgent_share < 1 or g.floor_share > 0 and g.heads.bulk ~= false then
    return 1
  end
  if trunk.left then
    left = math.min(left, trunk.left)
  end
  if trunk.step then
    left = math.min(left, math.floor((g.run_till - slot) / trunk.step) + 1)
  end
  if h.second then -- added up one by one, as it will be
    local count, vt = 1, h.vt + lane.step
    while count < left and vt + h.off < h.second do
      count, vt = count + 1, vt + lane.step
    end
    return count
  end
  return left
end

-- Pops up to `most` calls of the lane and gives each its permit: lease, slot, fence. Returns how many, and the slot after them;
-- nil when the lane is empty.
local function pop(g, h, lane, slot, most)
  local ids
  if most == 1 then
    ids = { call('LPOP', lane.queue) }
  else
    ids = call('LPOP', lane.queue, whole(most))
  end
  if not (ids and ids[1]) then
    return nil
  end
  local fence, before, after = g.fence, lane.before, lane.after
  if not fence then
    fence = g.epoch * 4294967296 + call('INCRBY', P .. 'fence', g.want == 1 and '1' or whole(g.want)) - g.want
  end
  local step, held, popped, out, reply = g.trunk.step or 0, g.held, g.popped, g.out, g.reply
  local taken, lease_until, popped_until, head_at = g.taken, g.lease_until, g.popped_until, #reply
  reply[head_at + 1], reply[head_at + 2], reply[head_at + 3] = lane.name, 0, slot - g.now
  reply[head_at + 4], reply[head_at + 5] = step, fence + 1
  local last = head_at + 5
  for i = 1, #ids do
    local id = ids[i]
    local slot_text = whole(slot)
    local text = format('%d%s%s %d%s', fence + 1, before, slot_text, step > 0 and slot + step or 0, after)
    if is_attempt(id) and call('SETNX', P .. 'lease:' .. id, text) == 1 then
      fence, slot, last, taken = fence + 1, slot + step, last + 1, taken + 1
      local n = 2 * taken
      held[n - 1], held[n], popped[n - 1], popped[n] = lease_until, id, popped_until, id
      out[n - 1], out[n], reply[last] = slot_text, id, id
    else
      call('SREM', P .. 'in', id) -- not an attempt, or one already under way (pushed twice by another hand): it must not dial
    end
  end
  local count = taken - g.taken
  reply[head_at + 2] = count
  g.fence, g.taken, h.taken, lane.taken = fence, taken, h.taken + count, lane.taken + count
  return count, slot
end

-- Takes the next call of the class, or a run of calls. Returns whether there was one.
local function take(g, class, h, slot)
  local real = h.member == h.tenant and class or 'urgent' -- whose lanes: a '^' member's are urgent ones
  local limits = scope_of(g, h.scope)
  if limits and blocks(g, limits, '@' .. real .. '|' .. h.tenant, slot) then
    put_back(g, class)
    call('ZREM', h.key, h.member)
    return false
  end
  local heap = P .. 'lo:' .. g.carrier .. ':' .. real .. ':' .. h.tenant
  local lane, deferred = lane_for(g, real, h, heap, slot)
  if not lane then
    put_back(g, class)
    if deferred then
      seldom().skip(g, class, h)
    else
      call('ZREM', h.key, h.member)
    end
    return false
  end
  local step = g.trunk.step
  local count, next_one = pop(g, h, lane, slot, limits and 1 or run_length(g, class, h, lane, slot))
  if not count then
    h.lane = false
    seldom().leave_lane(g.carrier, real, h.tenant, lane.name)
    if call('SISMEMBER', P .. 'overflow', lane.name) == 1 then
      call('PUBLISH', P .. 'wake', 'refill')
    end
  end
  if not count or count == 0 then
    return false
  end

  -- It counts everywhere.
  local last = step and next_one - step or slot
  local shared = g.shared
  for i = 1, #shared do
    count_in(shared[i], count, last)
  end
  if limits then
    count_in(limits, 1, slot)
  end
  if lane.scopes then
    for _, scope in ipairs(lane.scopes) do
      local s = scope_of(g, scope)
      if s then
        count_in(s, 1, slot)
      end
      if string.byte(scope) == 115 then -- (as scope_of)
        seldom().hold_seat(scope, g.reply[#g.reply], g.now)
      end
    end
  end

  -- The tenant pays by its weight, the lane by its campaign's; a carrier's present is the place of the last one served.
  for i = 1, count do
    if i > 1 then
      h.score, h.place = h.vt + h.off, nil
    end
    h.vt = h.vt + lane.step
  end
  if h.score > g[class] + 0 then
    g[class] = h.place or h.score
  end
  h.score, h.place = h.vt + h.off, nil
  if h.lane ~= lane then -- it has others
    call('ZINCRBY', heap, exact(lane.share), lane.name)
  end
  if h.second and h.score >= h.second then
    put_back(g, class)
  end
  if step and g.floor_share > 0 then
    local turn = step / g.floor_share
    if class == 'bulk' then
      g.floor = math.min(math.max(g.floor, slot - 2 * turn), slot) + turn -- what it was put off by is made up
    elseif count > 1 and last >= g.floor then
      g.floor = last -- nobody waits
    end
  end
  if step and real == 'urgent' and g.urgent_share < 1 then
    local used = (call('HGET', P .. 'uvt:' .. g.carrier, h.tenant) or 0) + 0
    call('HSET', P .. 'uvt:' .. g.carrier, h.tenant, whole(math.max(used, slot) + step / g.urgent_share))
  end
  if lane.serving then
    seldom().tell_others(g, lane)
  end
  return true
end

-- Class first, but bulk has a floor, which urgent calls may put off for two turns. Returns whether it is due at the slot.
local function bulk_first(g, slot)
  local step, share = g.trunk.step, g.floor_share
  if share <= 0 or not step then
    return false
  end
  local turn = step / share
  if slot < g.floor and g.floor <= slot + turn then -- (further ahead: the clock stepped back, or the rate was raised)
    return false
  end
  if not head(g, 'bulk') then
    g.floor = slot -- nobody waits: nothing is owed
    return false
  end
  return not head(g, 'urgent') or slot >= g.floor + 2 * turn
end

-- Urgent beyond the tenant's share of the carrier, while others wait: until when it goes on among the normal calls.
local function capped_until(g, h, slot)
  local step, share = g.trunk.step, g.urgent_share
  if share >= 1 or not step then
    return nil
  end
  local used = (call('HGET', P .. 'uvt:' .. g.carrier, h.tenant) or 0) + 0
  local burst = math.max(1000000, step / share)
  if used <= slot + burst or used > slot + burst + CAPPED_US then
    return nil
  end
  return (call('ZCARD', h.key) > 1 or head(g, 'normal') or head(g, 'bulk')) and used - burst
end

-- Takes the next call whose turn it is at the slot; false when there is none. `near`: the slot is so near that any class may
-- have it.
local function take_next(g, slot, near)
  for _ = 1, LOOKS do
    if g.skips and g.skips >= SKIPS then
      look_again(g, g.now + SKIPS_POLL_US)
      return false
    end
    local class = bulk_first(g, slot) and 'bulk' or 'urgent'
    local h = head(g, class)
    if class == 'bulk' and not near then
      return false -- its floor is due: urgent calls do not reserve what comes before
    end
    if not h and near then
      class = 'normal'
      h = head(g, class)
      if not h then
        class = 'bulk'
        h = head(g, class)
      end
    end
    if not h then
      return false
    end
    local till = class == 'urgent' and capped_until(g, h, slot)
    if till then
      put_back(g, 'urgent')
      put_back(g, 'normal')
      seldom().demote(g.carrier, h, till)
    elseif take(g, class, h, slot) then
      return true
    end
  end
  look_again(g, g.now + (g.moved_back and 5000 or 1000)) -- many were passed over: the rest of them next time
  return false
end
