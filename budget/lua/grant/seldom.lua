-- Of grant, what is seldom needed.

-- What is written of a carrier that is slowed, stopped, being probed, or has tenants beyond its cap. When nothing of that
-- holds any more, and no INVITE's time is unknown, it is not asked for again (`special`).
local function read_special(carrier, now)
  local key = scope_key('carrier:' .. carrier)
  local v = call('HMGET', key, 'factor', 'factor_at', 'recover', 'cap', 'cap_at', 'state', 'promote', 'probe_at', 'probe_us',
    'probes')
  local function over(value, since)
    return not value or value == '' or returning(value, since, now, v[3]) == 1
  end
  local ghosts = call('ZCOUNT', P .. 'ghost:carrier:' .. carrier, whole(now), '+inf')
  if (v[6] or 'ok') == 'ok' and (v[7] or '') == '' and over(v[1], v[2]) and over(v[4], v[5]) and ghosts == 0 then
    call('HDEL', key, 'special')
  end
  return v
end

-- Where the pumps of a full scope wait. This one will be woken when the scope has room: by a release, or, where ended calls
-- linger, it comes by itself, each pump for another one. Returns us until then, -1 for when woken.
local function wait_for(scope, carrier, switch, now)
  local me = carrier .. ' ' .. switch
  if scope.lingers then
    -- Each for the next place that nobody else is coming for; who comes by itself is not woken as well.
    local coming = P .. 'pl:' .. scope.name
    call('ZREMRANGEBYSCORE', coming, '-inf', whole(now))
    call('ZREM', coming, me)
    local rank = whole(call('ZCARD', coming))
    -- Those that linger no more are no place: they stand there until the next end, and it is full for other reasons.
    local till = call('ZRANGE', P .. 'linger:' .. scope.name, '(' .. whole(now), '+inf', 'BYSCORE', 'LIMIT', rank, '1',
      'WITHSCORES')[2]
    if till then
      call('ZADD', coming, till, me)
      call('PEXPIRE', coming, '600000')
      call('SREM', P .. 'pw:' .. scope.name, me)
      return math.max(1, math.ceil(tonumber(till) - now))
    end
  end
  call('SADD', P .. 'pw:' .. scope.name, me)
  return -1
end

-- A pump that was woken for a place and does not take it wakes the next one: the place must not be forgotten.
local function pass_on(shared)
  for _, s in ipairs(shared) do
    if s.left and s.left > 0 and not s.paused then
      wake_pumps(s.name, 1, 0)
    end
  end
end

-- Wakes whoever waits for a scope whose rate allows the next call now; returns the next such moment.
local function wake_timed(now)
  local at
  for _ = 1, 32 do
    local due = call('ZRANGE', P .. 'timed', '0', '0', 'WITHSCORES')
    at = tonumber(due[2])
    if not at or at > now then
      break
    end
    wake(due[1])
  end
  call('SET', P .. 'timed_next', at and whole(at) or '')
  return at
end

-- When the first of those beyond the cap may come back among the urgent ones.
local function note_promotion(carrier)
  local first = call('ZRANGE', P .. 'demoted:' .. carrier, '0', '0', 'WITHSCORES')
  call('HSET', scope_key('carrier:' .. carrier), 'promote', first[2] and whole(first[2]) or '', 'special', '1')
end

-- Tenants whose share allows urgent calls again by `till`.
local function promote(carrier, till)
  local key = P .. 'demoted:' .. carrier
  for _, tenant in ipairs(call('ZRANGE', key, '-inf', till, 'BYSCORE')) do
    call('ZREM', to_key(carrier, 'normal'), '^' .. tenant)
    call('ZREM', key, tenant)
    enter(carrier, 'urgent', tenant)
  end
  note_promotion(carrier)
end

-- Beyond its share of the carrier's urgent calls a tenant goes on among the normal ones, until `till`.
local function demote(carrier, h, till)
  call('ZREM', h.key, h.member)
  enter(carrier, 'normal', '^' .. h.tenant)
  call('ZADD', P .. 'demoted:' .. carrier, whole(till), h.tenant)
  note_promotion(carrier)
end

-- A pump asks at least every pump_idle_s (1 s); one that has not asked for longer is not there.
local THERE_US = 1600000
-- How long a carrier waits for a sister of its tier; how long it stays away after leaving a call to another carrier.
local SISTER_US = 250000
local BETTER_POLL_US = 50000
local SISTER_POLL_US = 10000

-- Another carrier that could take a call now, as far as it alone is concerned; false when it could not.
local others = {}
local function open_carrier(id, now)
  if others[id] == nil then
    local scope = 'carrier:' .. id
    local told = call('HMGET', scope_key(scope), 'state', 'asked', 'more')
    local ago = now - tonumber(told[2] or 0)
    local o = read_scope(scope, now, true)
    local there = ago >= 0 and ago <= THERE_US and (told[1] or 'ok') == 'ok' and not is_full(o)
    for _, name in ipairs(there and split(told[3]) or {}) do
      local s = read_scope(name, now, true)
      there = there and not is_full(s)
      o.tat = s.step and math.max(o.tat, s.tat) or o.tat
      o.step = s.step and math.max(o.step or 0, s.step) or o.step
    end
    others[id] = there and o
  end
  return others[id]
end

-- Is there another carrier that should rather take the lane's call? One of a better tier that would begin it within the
-- spill time, or a sister of the same tier that has a slot now and has had less than its weight. Never for longer than the
-- spill time (a sister: a quarter of a second) since it last took one: whoever could and does not must not hold it up.
-- Returns its id and after how many us to look again.
local function rather_by(lane, class, carrier, now, lead)
  local mine
  for _, s in ipairs(lane.serving) do
    mine = s.carrier == carrier and s or mine
  end
  if not mine then
    return nil
  end
  for _, s in ipairs(lane.serving) do
    local o = s.carrier ~= carrier and s.tier <= mine.tier and open_carrier(s.carrier, now)
    if o then
      local served = tonumber(call('HGET', lane.key, 'at:' .. s.carrier) or 0)
      local waited = now - math.max(lane.since, served)
      if s.tier < mine.tier and waited >= 0 and waited < lane.spill then
        local before = call('LLEN', lane.queue) * call('ZCARD', to_key(s.carrier, class))
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

-- The same, and the other carrier is told once for each call that is left to it. Returns us until to look again, nil when
-- there is none.
local function left_to_another(g, lane, class)
  local now = g.now
  local other, poll_us = rather_by(lane, class, g.carrier, now, g.lead)
  if other and (lane.deferred < math.max(lane.at, lane.since) or lane.deferred > now) then
    lane.deferred = now
    call('HSET', lane.key, 'd:' .. g.carrier, whole(now))
    call('PUBLISH', P .. 'wake', other .. ' * 0')
  end
  return poll_us
end

-- What a lane with several carriers needs besides.
local function read_serving(lane, carriers, carrier)
  local v = call('HMGET', lane.key, 'spill', 'd:' .. carrier, 'at', 'route', 'since')
  lane.serving, lane.route = servings(carriers), v[4]
  lane.spill, lane.deferred, lane.at = tonumber(v[1] or 0), tonumber(v[2] or 0), tonumber(v[3] or 0)
  lane.since = tonumber(v[5] or 0)
end

-- A permit of such a lane: what its carriers are to know of each other.
local function tell_others(g, lane)
  local had, mine = P .. 'rvt:' .. lane.route, 0
  for _, s in ipairs(lane.serving) do
    if s.carrier == g.carrier then
      mine = tonumber(call('HINCRBYFLOAT', had, s.carrier, 1 / s.weight))
    end
  end
  for _, s in ipairs(lane.serving) do -- a carrier that was away has no claim on all that it missed
    if s.carrier ~= g.carrier and tonumber(call('HGET', had, s.carrier) or 0) < mine - 2 then
      call('HSET', had, s.carrier, exact(mine - 2))
    end
  end
  lane.at = g.now
  call('HSET', lane.key, 'at', whole(g.now), 'at:' .. g.carrier, whole(g.now))
end

-- A tenant whose calls are left to another carrier is not asked again this time, and goes as far back in this one's order as
-- being served there would have taken it: those behind it, who have no other carrier, are seen first next time.
local function skip(g, class, h)
  g.skipped = g.skipped or {}
  g.skipped[class .. h.member] = true
  g.skips = (g.skips or 0) + 1
  local back = g[class] + LAG
  if back > h.score + 0.000001 then
    call('HSET', P .. 'vt:' .. class, h.here, offset(back - h.vt, back))
    call('ZADD', h.key, 'XX', exact(back), h.member)
    g.moved_back = true
  end
end

-- Served elsewhere, a tenant does not fall back by more than LAG: its offset makes up for the rest.
local function lagging(class, h, base)
  local place = math.min(h.vt + h.off, math.max(h.score, base + LAG))
  if place < h.vt + h.off then
    h.off = place - h.vt
    h.off_text = exact(h.off)
    call('HSET', P .. 'vt:' .. class, h.here, offset(h.off, base))
  end
end
