-- Second part of the head: scopes. A scope is a count, a rate or both: a carrier's trunk, its account or source IP, a
-- switch, a tenant, a campaign, a caller-ID pool, an agent pool, everything together. One hash each (`s:<scope>`: numbers
-- and pacing), one set of leases (`held:<scope>`), and on the carrier's side one of ended calls that still count
-- (`linger:<scope>`).

-- Pumps ask at least every pump_idle_s (gap is a little more), so time that ran backward since the last look, or on by more
-- than that, proves nothing and counts as none at all: whatever the carrier still had to wait at the last look it waits
-- from now on, and so do its lingering channels. That is never faster than the limit, and the longest wait is the longest
-- that can be owed: the hold after a rebuild (W + J + horizon + G). What a step forward of less than the gap gains is not
-- seen. The last look is written at most ten times a second: that only ever makes the debt larger.
local GAP_US = 1500000
local LOOK_US = 100000

local function scope_key(scope)
  return P .. 's:' .. scope
end

local function split(list)
  local found = {}
  for word in string.gmatch(list or '', '[^,]+') do
    found[#found + 1] = word
  end
  return found
end

-- On whose side a scope is: there an ended call goes on counting for a while, because the carrier may still count it.
local function of_carrier(scope)
  return string.find(scope, '^carrier:') or string.find(scope, '^account:') or string.find(scope, '^ip:')
end

-- A carrier's own scope and those it shares with others: its account, its source IP.
local function trunk_scopes(carrier)
  local own = 'carrier:' .. carrier
  return { own, unpack(split(call('HGET', scope_key(own), 'more') or '')) }
end

-- Of a carrier, its account or its source IP: there the next slot is a fact about the past that a clock must not change.
local function settle(scope, tat, seen, gap, now)
  if not seen then
    call('HSET', scope_key(scope), 'seen', whole(now))
    return tat
  end
  local passed = now - seen
  if passed >= 0 and passed <= (gap or GAP_US) then
    if passed > LOOK_US then
      call('HSET', scope_key(scope), 'seen', whole(now))
    end
    return tat
  end
  tat = now + math.max(0, tat - seen)
  call('HSET', scope_key(scope), 'seen', whole(now), 'tat', whole(tat))
  local lingering = call('ZRANGE', P .. 'linger:' .. scope, 0, -1, 'WITHSCORES')
  for i = 1, #lingering, 2 do
    local left = math.max(0, tonumber(lingering[i + 1]) - seen)
    call('ZADD', P .. 'linger:' .. scope, 'XX', now + left, lingering[i])
  end
  return tat
end

-- The pacing after a look at the clock; to be called before any time of a carrier-side scope is compared or written.
local function settled(scope, now)
  local v = call('HMGET', scope_key(scope), 'tat', 'seen', 'gap')
  return settle(scope, tonumber(v[1] or '0'), tonumber(v[2] or ''), tonumber(v[3] or ''), now)
end

-- A refused call lowers factor (a rate) or cap (a count); both come back in a straight line over recover_us.
local function returning(value, since, now, recover_us)
  return math.min(1, value + math.max(0, now - since) / recover_us)
end

-- A scope as the script works with it. `lingers`: the carrier's side. `left` is how many more it takes (nil: any number),
-- `tat` the earliest moment its rate allows, `step` the distance to the next one (nil: no rate). `fields`: what else of its
-- hash is wanted, into `own`.
local NUMBERS = { 'max', 'interval', 'paused', 'tat', 'seen', 'gap', 'rest', 'factor', 'factor_at', 'recover', 'cap', 'cap_at' }
local OURS_AHEAD_US = 2000000
local function read_scope(scope, now, lingers, fields)
  local s, v = { name = scope, lingers = lingers, own = {} }, nil
  if fields then
    v = call('HMGET', scope_key(scope), 'max', 'interval', 'paused', 'tat', 'seen', 'gap', 'rest', 'factor', 'factor_at',
      'recover', 'cap', 'cap_at', unpack(fields))
    for i, field in ipairs(fields) do
      local value = v[#NUMBERS + i]
      s.own[field] = value and value ~= '' and value or nil
    end
  else
    v = call('HMGET', scope_key(scope), unpack(NUMBERS))
  end
  local max, interval, paused, tat, seen, gap, resting, factor, factor_at, recover, cap, cap_at = unpack(v, 1, #NUMBERS)
  s.stated = max and interval
  s.paused = paused == '1' or interval == '0'
  s.tat = tonumber(tat or 0)
  if lingers then
    s.tat = settle(scope, s.tat, tonumber(seen or ''), tonumber(gap or ''), now)
  end
  if interval and interval ~= '' and interval ~= '0' then
    s.step = tonumber(interval)
    s.raw, s.rests = s.step, tonumber(resting or '') or 0
    if factor and factor ~= '' then
      s.step = math.ceil(s.step / returning(tonumber(factor), tonumber(factor_at), now, tonumber(recover)))
    end
    if not lingers and s.tat > now + s.step + tonumber(resting or 0) + OURS_AHEAD_US then
      s.tat = now + s.step -- our own limits: a clock that stepped back must not stop them
      call('HSET', scope_key(scope), 'tat', whole(s.tat))
    end
  end
  if max and max ~= '' then
    s.left = tonumber(max)
    if cap and cap ~= '' and s.left > 0 then
      s.left = math.max(1, math.floor(s.left * returning(tonumber(cap), tonumber(cap_at), now, tonumber(recover))))
    end
    s.left = s.left - call('ZCARD', P .. 'held:' .. scope)
    if lingers then
      local lingering = call('ZCARD', P .. 'linger:' .. scope)
      if lingering > 0 and s.left <= lingering then
        call('ZREMRANGEBYSCORE', P .. 'linger:' .. scope, '-inf', now)
        lingering = call('ZCARD', P .. 'linger:' .. scope)
      end
      s.left = s.left - lingering
    end
  end
  return s
end

local function is_full(s)
  return s.paused or (s.left ~= nil and s.left <= 0)
end

-- An ended call goes on counting on the carrier's side. Those whose time is over go when one comes, or a scope without a
-- count would gather them for ever.
local function add_linger(scope, member, now, us)
  settled(scope, now)
  if us > 0 then
    call('ZREMRANGEBYSCORE', P .. 'linger:' .. scope, '-inf', now)
    call('ZADD', P .. 'linger:' .. scope, now + us, member)
  end
end

-- INVITEs of unknown time. `out:<scope>` holds every permit that nobody has acknowledged yet, by its slot. One that is not
-- acknowledged within J has perhaps been written to a switch that stands still, and will leave when that goes on: at any
-- time, into any second. It goes to `ghost:<scope>` and takes one place of every window, until a window after it was
-- settled; the scope rests a window first, for what left before that was known.
local GHOST_US = 600000000 -- never settled: its lease is gone, and so is the call
local function reckon(s, late, now)
  local out, ghosts = P .. 'out:' .. s.name, P .. 'ghost:' .. s.name
  local overdue = call('ZRANGE', out, '-inf', whole(now - late), 'BYSCORE')
  if not s.raw or s.rests <= 0 then
    return
  end
  if #overdue > 0 then
    for _, id in ipairs(overdue) do
      call('ZREM', out, id)
      call('ZADD', ghosts, whole(now + GHOST_US), id)
    end
    s.tat = math.max(s.tat + 1, math.max(s.tat - s.raw, now) + s.rests)
    call('HSET', scope_key(s.name), 'tat', whole(s.tat))
  end
  local unknown = call('ZCOUNT', ghosts, whole(now), '+inf')
  if unknown > 0 then
    local room = math.floor(s.rests / s.raw + 0.5) - unknown
    if room > 0 then
      s.step = math.max(s.step, math.ceil(s.rests / room))
    else
      s.left = 0
    end
  end
end

-- The permit was acknowledged, or its call is over: from now on a window, if it was late at all. `unsent`: nothing was written.
local function settle_invite(scope, id, now, unsent)
  call('ZREM', P .. 'out:' .. scope, id)
  local ghosts = P .. 'ghost:' .. scope
  if unsent then
    call('ZREM', ghosts, id)
  elseif call('ZSCORE', ghosts, id) then
    call('ZREMRANGEBYSCORE', ghosts, '-inf', whole(now))
    call('ZADD', ghosts, whole(now + (tonumber(call('HGET', scope_key(scope), 'rest') or '') or 0)), id)
  end
end

-- Nothing leaves before `us` after the last slot that was granted, nor before `us` from now. It always moves the pacing,
-- were it by 1 us: a slot that was granted before can then not be given back for an earlier one.
local function rest(scope, tat, last, now, us)
  call('HSET', scope_key(scope), 'tat', whole(math.max(tat + 1, math.max(last, now) + us)))
end

-- Pumps that were refused because this scope is full are told as soon as there is room: one for each place.
local function wake_pumps(scope, count, delay_us)
  for _, pump in ipairs(call('SPOP', P .. 'pw:' .. scope, count)) do
    call('PUBLISH', P .. 'wake', pump .. ' ' .. whole(delay_us))
  end
end
