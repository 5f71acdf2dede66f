-- Second part of the head: scopes. A scope is a count, a rate or both: a carrier's trunk, its account or source IP, a
-- switch, a tenant, a campaign, a caller-ID pool, an agent pool, everything together. One hash each (`s:<scope>`: numbers
-- and pacing); how many calls it holds stands in `held`, of a trunk in its set of leases (`held:carrier:<id>`, by deadline);
-- on the carrier's side there is a set of ended calls that still count (`linger:<scope>`). `limited` names the scopes that
-- limit anything; a carrier's trunk is always looked at.

-- Pumps ask at least every pump_idle_s (gap is a little more), so time that ran backward since the last look, or on by more
-- than that, proves nothing and counts as none at all: whatever the carrier still had to wait at the last look it waits
-- from now on, and so do its lingering channels. That is never faster than the limit, and the longest wait is the longest
-- that can be owed: the hold after a rebuild (W + J + horizon + G). What a step forward of less than the gap gains is not
-- seen. The last look is written at most ten times a second: that only ever makes the debt larger.
local GAP_US = 1500000
local LOOK_US = 100000
-- How far ahead of its step one of our own limits may be before a clock that stepped back is the reason.
local OURS_AHEAD_US = 2000000
-- What was stated of a carrier: most channels, interval, paused, gap, rest, urgent share, floor of bulk, channels reserved for
-- calls that come in, account and source IP.
local PLAN = '^(%S*) (%S*) (%S*) (%S*) (%S*) (%S*) (%S*) (%S*) (%S*)$'
-- The same of a lane with one carrier: tenant's weight, campaign's share, scopes.
local LANE_PLAN = '^(%S+) (%S+) (%S*)$'
-- No tenant's urgent calls are beyond its cap for longer.
local CAPPED_US = 60000000

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

-- Of a carrier, its account or its source IP: there the next slot is a fact about the past that a clock must not change.
local function settle(scope, tat, seen, gap, now)
  if not seen or seen == '' then
    call('HSET', scope_key(scope), 'seen', whole(now))
    return tat
  end
  local passed = now - seen
  if passed >= 0 and passed <= (tonumber(gap or '') or GAP_US) then
    if passed > LOOK_US then
      call('HSET', scope_key(scope), 'seen', whole(now))
    end
    return tat
  end
  tat = now + math.max(0, tat - seen)
  call('HSET', scope_key(scope), 'seen', whole(now), 'tat', whole(tat))
  local lingering = call('ZRANGE', P .. 'linger:' .. scope, '0', '-1', 'WITHSCORES')
  for i = 1, #lingering, 2 do
    local left = math.max(0, lingering[i + 1] - seen)
    call('ZADD', P .. 'linger:' .. scope, 'XX', whole(now + left), lingering[i])
  end
  return tat
end

-- A refused call lowers factor (a rate) or cap (a count); both come back in a straight line over recover_us.
local function returning(value, since, now, recover_us)
  return math.min(1, value + math.max(0, now - since) / recover_us)
end

local function held_in(scope)
  if string.sub(scope, 1, 8) == 'carrier:' then
    return call('ZCARD', P .. 'held:' .. scope)
  end
  return (call('HGET', P .. 'held', scope) or 0) + 0
end

-- A scope as the scripts work with it. `lingers`: the carrier's side. `left` is how many more it takes (nil: any number),
-- `tat` the earliest moment its rate allows, `step` the distance to the next one (nil: no rate), `raw` the same as stated,
-- `rests` its window and jitter, `moved`: a permit has used it. Then the fields of its hash; `reserved` of the channels are for
-- calls that come in (nil: for one of those).
local function as_scope(scope, now, lingers, most, interval, paused, tat, seen, gap, resting, factor, factor_at, recover,
    cap, cap_at, reserved)
  local step, left, raw, rests
  tat = (tat or 0) + 0
  if lingers then
    tat = settle(scope, tat, seen, gap, now)
  end
  if interval and interval ~= '' and interval ~= '0' then
    step = interval + 0
    raw, rests = step, tonumber(resting or '') or 0
    if factor and factor ~= '' then
      step = math.ceil(step / returning(factor, factor_at, now, recover))
    end
    if not lingers and tat > now + step + rests + OURS_AHEAD_US then
      tat = now + step -- our own limits: a clock that stepped back must not stop them
      call('HSET', scope_key(scope), 'tat', whole(tat))
    end
  end
  if most and most ~= '' then
    left = most + 0
    if cap and cap ~= '' and left > 0 then
      left = math.max(1, math.floor(left * returning(cap, cap_at, now, recover)))
    end
    left = left - held_in(scope)
    if reserved and reserved ~= '' and reserved ~= '0' then
      -- What of the reserve is in use already is in `held` as well.
      left = left - math.max(0, reserved - (call('HGET', P .. 'held', 'in:' .. scope) or 0))
    end
    if lingers then
      local key = P .. 'linger:' .. scope
      local lingering = call('ZCARD', key)
      if lingering > 0 and left <= lingering then
        call('ZREMRANGEBYSCORE', key, '-inf', whole(now))
        lingering = call('ZCARD', key)
      end
      left = left - lingering
    end
  end
  return { name = scope, lingers = lingers, stated = most and interval, paused = paused == '1' or interval == '0', tat = tat,
    step = step, left = left, raw = raw, rests = rests, moved = false }
end

local function read_scope(scope, now, lingers)
  local v = call('HMGET', scope_key(scope), 'max', 'interval', 'paused', 'tat', 'seen', 'gap', 'rest', 'factor', 'factor_at',
    'recover', 'cap', 'cap_at', 'reserved')
  return as_scope(scope, now, lingers, unpack(v, 1, 13))
end

local function is_full(s)
  return s.paused or (s.left ~= nil and s.left <= 0)
end
