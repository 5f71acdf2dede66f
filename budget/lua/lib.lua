-- Shared by every script of the budget (put before each by scripts.py). All keys live under one version prefix, so
-- scripts of two versions never touch each other's keys. Time is Redis TIME only: no caller's clock counts.
local P = 'tl1:'
local Q = 'rq:queue:'

local function clock_us()
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000000 + tonumber(t[2])
end

-- Microseconds (or any whole number) as text that Python's int() reads; Redis itself may write 1e+15.
local function whole(number)
  return string.format('%.0f', number)
end

-- An attempt's id as Python prints it. Anybody can enqueue anything; what reaches our own keys has this form.
local HEX = '[0-9a-f]'
local H4 = '%-' .. HEX:rep(4)
local ATTEMPT = '^' .. HEX:rep(8) .. H4 .. H4 .. H4 .. '%-' .. HEX:rep(12) .. '$'
local function is_attempt(id)
  return string.find(id, ATTEMPT) ~= nil
end

-- The carrier's next free slot in us, after a look at the clock; to be called before any time of the carrier is compared
-- or written. Redis TIME is the host's wall clock, and somebody may set it. Pumps ask at least every pump_idle_s (gap_us is
-- a little more), so time that ran backward since the last look, or on by more than gap_us, proves nothing and counts as
-- none at all: whatever the carrier still had to wait at the last look it waits from now on, and so do its lingering
-- channels. That is never faster than the limit, and the longest wait is the longest that can be owed: the hold after a
-- rebuild (W + J + horizon + G). What a step forward of less than gap_us gains is not seen.
local GAP_US = 1500000
local function settle(carrier, now)
  local tat = tonumber(redis.call('GET', P .. 'tat:' .. carrier) or '0')
  local seen = tonumber(redis.call('GET', P .. 'seen:' .. carrier) or now)
  redis.call('SET', P .. 'seen:' .. carrier, whole(now))
  local passed = now - seen
  local gap = tonumber(redis.call('HGET', P .. 'carrier:' .. carrier, 'gap_us') or GAP_US)
  if passed >= 0 and passed <= gap then
    return tat
  end
  tat = now + math.max(0, tat - seen)
  redis.call('SET', P .. 'tat:' .. carrier, whole(tat))
  local lingering = redis.call('ZRANGE', P .. 'linger:' .. carrier, 0, -1, 'WITHSCORES')
  for i = 1, #lingering, 2 do
    local left = math.max(0, tonumber(lingering[i + 1]) - seen)
    redis.call('ZADD', P .. 'linger:' .. carrier, 'XX', now + left, lingering[i])
  end
  return tat
end

local CLASS = { urgent = 0, normal = 1, bulk = 2 }
local CLASS_STEP = 1e12 -- a lane's score is class * step + virtual time: class first, then fair order

-- Puts a lane with work into the order of each carrier that may serve it. A tenant that was idle starts at the
-- present virtual time: no credit for the time it asked for nothing. A lane in order already moves forward only (a charge
-- was refunded). Pumps are woken for what is new; returns whether anything was.
local function activate(lane)
  local conf = redis.call('HMGET', P .. 'lane:' .. lane, 'carriers', 'tenant', 'class')
  if not conf[1] then
    if redis.call('SADD', P .. 'unlaned', lane) == 1 then
      redis.call('PUBLISH', P .. 'wake', 'lanes')
    end
    return false
  end
  local class = conf[3]
  local own = tonumber(redis.call('HGET', P .. 'vt:' .. class, conf[2]) or '0')
  local present = tonumber(redis.call('GET', P .. 'vclock:' .. class) or '0')
  local score = CLASS[class] * CLASS_STEP + math.max(own, present)
  local news = false
  for carrier in string.gmatch(conf[1], '[^,]+') do
    if redis.call('ZADD', P .. 'lanes:' .. carrier, 'LT', 'CH', score, lane) == 1 then
      redis.call('PUBLISH', P .. 'wake', carrier)
      news = true
    end
  end
  return news
end

-- The lane's tenant is not charged for the permit after all.
local function refund(lane)
  local lc = redis.call('HMGET', P .. 'lane:' .. lane, 'tenant', 'class', 'weight')
  if lc[1] then
    local vt = tonumber(redis.call('HGET', P .. 'vt:' .. lc[2], lc[1]) or '0')
    redis.call('HSET', P .. 'vt:' .. lc[2], lc[1], string.format('%.6f', math.max(0, vt - 1 / tonumber(lc[3]))))
  end
end

-- RQ's own job hash, so that `rq info` and the RQ dashboard show the truth. Written whole each time: a stale hash of an
-- earlier life of the id never locks it out.
local function write_job(id, lane, iso, data, timeout, result_ttl)
  local key = 'rq:job:' .. id
  redis.call('DEL', key)
  redis.call('HSET', key, 'created_at', iso, 'enqueued_at', iso, 'data', data, 'origin', lane,
    'description', 'controller.dial.dial()', 'status', 'queued', 'timeout', timeout,
    'result_ttl', result_ttl, 'failure_ttl', result_ttl,
    'started_at', '', 'ended_at', '', 'last_heartbeat', '', 'worker_name', '')
end

-- Takes the lease away if the caller still owns it (same fence); returns {fence, carrier, lane, slot, tat}. The channel
-- goes on counting for linger_us; -1 means the carrier's own linger.
local function drop_lease(id, fence, linger_us, now)
  local lease = redis.call('HMGET', P .. 'lease:' .. id, 'fence', 'carrier', 'lane', 'slot', 'tat')
  if not lease[1] or lease[1] ~= fence then
    return nil
  end
  settle(lease[2], now)
  redis.call('DEL', P .. 'lease:' .. id)
  redis.call('ZREM', P .. 'leases:' .. lease[2], id)
  redis.call('ZREM', P .. 'popped', id)
  redis.call('SREM', P .. 'in', id)
  redis.call('LREM', Q .. lease[3] .. ':intermediate', 0, id)
  if linger_us < 0 then
    linger_us = tonumber(redis.call('HGET', P .. 'carrier:' .. lease[2], 'linger_us') or '0')
  end
  if linger_us > 0 then
    redis.call('ZADD', P .. 'linger:' .. lease[2], now + linger_us, id .. ':' .. fence)
  end
  redis.call('PUBLISH', P .. 'wake', lease[2])
  return lease
end
