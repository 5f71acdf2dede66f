-- Fourth part of the head: what happens to scopes between two permits.

-- On whose side a scope is: there an ended call goes on counting for a while, because the carrier may still count it.
local function of_carrier(scope)
  return string.find(scope, '^carrier:') or string.find(scope, '^account:') or string.find(scope, '^ip:')
end

-- A carrier's own scope and those it shares with others: its account, its source IP.
local function trunk_scopes(carrier)
  local own = 'carrier:' .. carrier
  return { own, unpack(split(call('HGET', scope_key(own), 'more') or '')) }
end

-- The pacing after a look at the clock; to be called before any time of a carrier-side scope is compared or written.
local function settled(scope, now)
  local v = call('HMGET', scope_key(scope), 'tat', 'seen', 'gap')
  return settle(scope, (v[1] or 0) + 0, v[2], v[3], now)
end

-- Scopes that limit anything are in a set; every request asks for those of the house (a switch, everything), so these stand
-- in one text besides, and whether there are any others.
local function limit(scope, limits)
  if call(limits and 'SADD' or 'SREM', P .. 'limited', scope) == 0 then
    return
  end
  local text, others = '', ''
  for _, name in ipairs(call('SMEMBERS', P .. 'limited')) do
    if name == 'global' or string.find(name, '^switch:') then
      text = text .. name .. ','
    elseif not of_carrier(name) then
      others = 'lanes,'
    end
  end
  call('SET', P .. 'limits', ',' .. text .. others)
end

-- The lease counts in the scope no more. A number is enough there: whoever writes or removes a lease counts in the same script.
local function free(scope, id)
  if string.sub(scope, 1, 8) == 'carrier:' then
    call('ZREM', P .. 'held:' .. scope, id)
  elseif call('HINCRBY', P .. 'held', scope, '-1') <= 0 then
    call('HDEL', P .. 'held', scope)
  end
end

-- An ended call goes on counting on the carrier's side. Those whose time is over go when one comes, or a scope without a
-- count would gather them for ever.
local function add_linger(scope, member, now, us)
  settled(scope, now)
  if us > 0 then
    call('ZREMRANGEBYSCORE', P .. 'linger:' .. scope, '-inf', whole(now))
    call('ZADD', P .. 'linger:' .. scope, whole(now + us), member)
  end
end

-- The pacing when the next `count` free slots are left out, for as many INVITEs that left, or may leave, at a time nobody knows.
-- Why that is enough: docs/budget.md. It always moves the pacing, so that no slot granted before can be given back.
local function left_out(s, now, count)
  return math.max(s.tat + 1, math.max(s.tat, now) + count * (s.step or 0))
end

-- INVITEs of unknown time. `out:<scope>` holds every permit that nobody has acknowledged yet, by its slot. One that is not
-- acknowledged within J has perhaps been written to a switch that stands still, and will leave when that goes on: at any
-- time, into any second. It goes to `ghost:<scope>` and takes one place of every window, until a window after it was
-- settled; for the windows that are begun already a slot is left out.
local GHOST_US = 600000000 -- never settled: its lease is gone, and so is the call
local function reckon(s, late, now)
  local out, ghosts = P .. 'out:' .. s.name, P .. 'ghost:' .. s.name
  if not s.raw or s.rests <= 0 then
    return
  end
  local overdue = call('ZRANGE', out, '-inf', whole(now - late), 'BYSCORE')
  for _, id in ipairs(overdue) do
    call('ZREM', out, id)
    call('ZADD', ghosts, whole(now + GHOST_US), id)
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
  if #overdue > 0 then
    s.tat = left_out(s, now, #overdue)
    call('HSET', scope_key(s.name), 'tat', whole(s.tat), 'special', '1')
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
  for _, pump in ipairs(call('SPOP', P .. 'pw:' .. scope, whole(count))) do
    call('PUBLISH', P .. 'wake', pump .. ' ' .. whole(delay_us))
  end
end
