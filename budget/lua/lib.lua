-- Shared by every script of the budget (put before each by scripts.py). All keys live under one version prefix, so
-- scripts of two versions never touch each other's keys. Time is Redis TIME only: no caller's clock counts.
local P = 'tl1:'
local Q = 'rq:queue:'

local function clock_us()
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000000 + tonumber(t[2])
end

local CLASS = { urgent = 0, normal = 1, bulk = 2 }
local CLASS_STEP = 1e12 -- a lane's score is class * step + virtual time: class first, then fair order

-- Puts a lane with work into the order of each carrier that may serve it. A tenant that was idle starts at the
-- present virtual time: no credit for the time it asked for nothing.
local function activate(lane)
  local conf = redis.call('HMGET', P .. 'lane:' .. lane, 'carriers', 'tenant', 'class')
  if not conf[1] then
    redis.call('SADD', P .. 'unlaned', lane)
    redis.call('PUBLISH', P .. 'wake', 'lanes')
    return
  end
  local class = conf[3]
  local own = tonumber(redis.call('HGET', P .. 'vt:' .. class, conf[2]) or '0')
  local present = tonumber(redis.call('GET', P .. 'vclock:' .. class) or '0')
  local vt = math.max(own, present)
  for carrier in string.gmatch(conf[1], '[^,]+') do
    redis.call('ZADD', P .. 'lanes:' .. carrier, 'NX', CLASS[class] * CLASS_STEP + vt, lane)
    redis.call('PUBLISH', P .. 'wake', carrier)
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

-- Takes the lease away if the caller still owns it (same fence). The channel goes on counting for linger_us;
-- -1 means the carrier's own linger.
local function drop_lease(id, fence, linger_us, now)
  local lease = redis.call('HMGET', P .. 'lease:' .. id, 'fence', 'carrier', 'lane')
  if not lease[1] or lease[1] ~= fence then
    return nil
  end
  redis.call('DEL', P .. 'lease:' .. id)
  redis.call('ZREM', P .. 'leases:' .. lease[2], id)
  redis.call('ZREM', P .. 'popped', id)
  redis.call('SREM', P .. 'in', id)
  if linger_us < 0 then
    linger_us = tonumber(redis.call('HGET', P .. 'carrier:' .. lease[2], 'linger_us') or '0')
  end
  if linger_us > 0 then
    redis.call('ZADD', P .. 'linger:' .. lease[2], now + linger_us, id .. ':' .. fence)
  end
  redis.call('PUBLISH', P .. 'wake', lease[2])
  return lease
end
