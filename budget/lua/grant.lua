-- One permit of one carrier, with the pop, or nothing at all: channels, then fair order, then the CPS slot (last, so that
-- a refusal never burns a slot).
-- ARGV: carrier, switch, horizon us, lead us, lease us, popped deadline us
-- Returns {'grant', attempt, lane, slot in us from now, fence, epoch} | {'wait', us, limit} | {'empty'} | {'not_ready'} |
-- {'paused'}. A wait of -1 means: until woken.
local carrier, switch = ARGV[1], ARGV[2]
local epoch = redis.call('GET', P .. 'epoch')
if not epoch then
  return { 'not_ready' }
end
local conf = redis.call('HMGET', P .. 'carrier:' .. carrier, 'max_channels', 'interval_us', 'paused')
if not conf[1] then
  return { 'not_ready' }
end
local now = clock_us()
local tat = settle(carrier, now) -- also where nothing is granted: a step of the clock has to be seen within a second
if conf[3] == '1' or conf[2] == '0' then
  return { 'paused' }
end
local heap = P .. 'lanes:' .. carrier
if redis.call('EXISTS', heap) == 0 then
  return { 'empty' }
end

redis.call('ZREMRANGEBYSCORE', P .. 'linger:' .. carrier, '-inf', now)
local used = redis.call('ZCARD', P .. 'leases:' .. carrier) + redis.call('ZCARD', P .. 'linger:' .. carrier)
if used >= tonumber(conf[1]) then
  local first = redis.call('ZRANGE', P .. 'linger:' .. carrier, 0, 0, 'WITHSCORES')
  return { 'wait', first[2] and math.max(1, math.ceil(tonumber(first[2]) - now)) or -1, 'channels' }
end

local interval, horizon = tonumber(conf[2]), tonumber(ARGV[3])
local slot = math.max(tat, now + tonumber(ARGV[4]))
if slot - now > horizon then
  return { 'wait', math.ceil(slot - now - horizon), 'cps' }
end

for _ = 1, 64 do
  local head = redis.call('ZRANGE', heap, 0, 0, 'WITHSCORES')
  local lane = head[1]
  if not lane then
    return { 'empty' }
  end
  local lc = redis.call('HMGET', P .. 'lane:' .. lane, 'tenant', 'class', 'weight', 'carriers')
  local class = lc[2]
  local base = CLASS[class] * CLASS_STEP
  local vt = tonumber(redis.call('HGET', P .. 'vt:' .. class, lc[1]) or '0')
  if base + vt > tonumber(head[2]) then
    -- The tenant was served through another lane or carrier meanwhile: its place has moved back.
    redis.call('ZADD', heap, 'XX', base + vt, lane)
  else
    local id = redis.call('LMOVE', Q .. lane, Q .. lane .. ':intermediate', 'LEFT', 'RIGHT')
    if not id then
      redis.call('ZREM', heap, lane)
    elseif not is_attempt(id) or redis.call('EXISTS', P .. 'lease:' .. id) == 1 then
      -- Not an attempt, or one already under way (pushed twice by another hand): it must not dial.
      redis.call('LREM', Q .. lane .. ':intermediate', 1, id)
      redis.call('SREM', P .. 'in', id)
    else
      local fence = whole(tonumber(epoch) * 4294967296 + redis.call('INCR', P .. 'fence'))
      local start = tonumber(head[2]) - base
      redis.call('SET', P .. 'vclock:' .. class, string.format('%.6f', start))
      local finish = string.format('%.6f', start + 1 / tonumber(lc[3]))
      redis.call('HSET', P .. 'vt:' .. class, lc[1], finish)
      redis.call('ZADD', heap, 'XX', base + tonumber(finish), lane)
      redis.call('SET', P .. 'tat:' .. carrier, whole(slot + interval))
      redis.call('ZADD', P .. 'leases:' .. carrier, now + tonumber(ARGV[5]), id)
      redis.call('HSET', P .. 'lease:' .. id, 'fence', fence, 'carrier', carrier, 'lane', lane, 'switch', switch,
        'at', whole(now), 'slot', whole(slot), 'tat', whole(slot + interval))
      redis.call('ZADD', P .. 'popped', now + tonumber(ARGV[6]), id)
      redis.call('SADD', P .. 'in', id)
      return { 'grant', id, lane, whole(slot - now), fence, epoch }
    end
  end
end
return { 'wait', 1000, 'order' }
