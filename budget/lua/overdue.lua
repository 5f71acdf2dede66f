-- Attempts popped and not claimed by their deadline; Postgres knows what became of them. One granted later than now was so
-- by a clock that has stepped back since: its time begins again. ARGV: now us, limit. Returns attempt, fence, ...
local now, found = tonumber(ARGV[1]), {}
local popped = redis.call('ZRANGE', P .. 'popped', 0, -1, 'WITHSCORES')
for i = 1, #popped, 2 do
  local id, deadline = popped[i], tonumber(popped[i + 1])
  local lease = redis.call('HMGET', P .. 'lease:' .. id, 'fence', 'at')
  local at = tonumber(lease[2] or '0') or 0
  if not is_attempt(id) or not lease[1] then
    redis.call('ZREM', P .. 'popped', id)
  elseif at > now then
    redis.call('HSET', P .. 'lease:' .. id, 'at', whole(now))
    redis.call('ZADD', P .. 'popped', now + deadline - at, id)
  elseif deadline <= now and #found < 2 * tonumber(ARGV[2]) then
    found[#found + 1] = id
    found[#found + 1] = lease[1]
  end
end
return found
