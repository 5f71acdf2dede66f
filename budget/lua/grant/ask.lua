-- Permits of one carrier, each with its pop, or nothing at all: every count and rate that a call must obey is checked, the
-- fair next call taken, its slot reserved. What a caller is not granted costs nobody anything. Four files, one script: what is
-- asked and what holds for every call (this one), whose turn it is (choose), a permit (take), the permits and what is written
-- of them (../grant).
-- ARGV: carrier, switch, how many at most, lead us, reach us (how far ahead of now calls that are not urgent may reserve),
-- horizon us (urgent ones), lease us, popped deadline us, margin us (a pump comes so long before it must), late us (a permit
-- not acknowledged so long after its slot is one of unknown time).
-- Returns {limit, us until it is worth asking again (-1: when woken), epoch, whether only time has to pass, then for each
-- permit: attempt, lane, slot in us from now, fence}. The limit names what stopped it: a scope, 'cps', 'order', 'empty',
-- 'paused', 'stopped', 'probing', 'not_ready'.
local carrier, switch, want = ARGV[1], ARGV[2], tonumber(ARGV[3])
local lead, reach, horizon, margin = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[9])
local epoch = call('GET', P .. 'epoch')
if not epoch then
  return { 'not_ready', -1, '', 0 }
end
local now = clock_us()
local ckey = scope_key('carrier:' .. carrier)
local trunk = read_scope('carrier:' .. carrier, now, true, { 'more', 'state', 'turns', 'clk1', 'clk2', 'clk3', 'floor',
  'urgent_share', 'bulk_floor', 'promote', 'probe_at', 'probe_us', 'probes', 'asked' })
local own = trunk.own
if not trunk.stated then
  return { 'not_ready', -1, epoch, 0 }
end

-- What holds for every call of this carrier from this switch.
local shared = { trunk }
for _, scope in ipairs(split(own.more)) do
  shared[#shared + 1] = read_scope(scope, now, true)
end
for _, s in ipairs(shared) do
  reckon(s, tonumber(ARGV[10]), now)
end
shared[#shared + 1] = read_scope('switch:' .. switch, now, false)
local global = read_scope('global', now, false, { 'timed' })
shared[#shared + 1] = global

local slot, slowest
local function next_slot()
  slot, slowest = now + lead, nil
  for _, s in ipairs(shared) do
    if s.step and s.tat > slot then
      slot, slowest = s.tat, s.name
    end
  end
end
local function full()
  for _, s in ipairs(shared) do
    if is_full(s) then
      return s
    end
  end
  return nil
end

-- The pump will be woken when the scope has room: by a release, or, where ended calls linger, it comes by itself, each
-- pump for another one.
local function wait_for(scope)
  local me = carrier .. ' ' .. switch
  if scope.lingers then
    -- Each for the next place that nobody else is coming for; who comes by itself is not woken as well.
    local coming = P .. 'pl:' .. scope.name
    call('ZREMRANGEBYSCORE', coming, '-inf', whole(now))
    call('ZREM', coming, me)
    local rank = call('ZCARD', coming)
    local till = call('ZRANGE', P .. 'linger:' .. scope.name, rank, rank, 'WITHSCORES')[2]
    if till then
      call('ZADD', coming, till, me)
      call('PEXPIRE', coming, 600000)
      call('SREM', P .. 'pw:' .. scope.name, me)
      return math.max(1, math.ceil(tonumber(till) - now))
    end
  end
  call('SADD', P .. 'pw:' .. scope.name, me)
  return -1
end

-- A pump that was woken for a place and does not take it wakes the next one: the place must not be forgotten.
local function pass_on()
  for _, s in ipairs(shared) do
    if s.left and s.left > 0 and not s.paused then
      wake_pumps(s.name, 1, 0)
    end
  end
end

local state = own.state or 'ok'
if trunk.paused or state == 'stopped' then
  pass_on()
  return { trunk.paused and 'paused' or 'stopped', -1, epoch, 0 }
end

-- Work that waited for time: scopes whose rate allows the next call, urgent calls beyond their tenant's cap.
local timed_next = tonumber(global.own.timed)
if timed_next and timed_next <= now then
  for _ = 1, 32 do
    local due = call('ZRANGE', P .. 'timed', 0, 0, 'WITHSCORES')
    timed_next = tonumber(due[2])
    if not timed_next or timed_next > now then
      break
    end
    wake(due[1])
  end
  call('HSET', scope_key('global'), 'timed', timed_next and whole(timed_next) or '')
end
-- Nobody is beyond the cap for longer: what seems so was written before a step of the clock.
local CAPPED_US = 60000000
local promote = tonumber(own.promote)
if promote and (promote <= now or promote > now + lead + horizon + CAPPED_US) then
  local key, till = P .. 'demoted:' .. carrier, promote <= now and whole(now) or '+inf'
  for _, tenant in ipairs(call('ZRANGE', key, '-inf', till, 'BYSCORE')) do
    call('ZREM', to_key(carrier, 'normal'), '^' .. tenant)
    call('ZREM', key, tenant)
    enter(carrier, 'urgent', tenant)
  end
  local left = call('ZRANGE', key, 0, 0, 'WITHSCORES')
  call('HSET', ckey, 'promote', left[2] and whole(left[2]) or '')
end
