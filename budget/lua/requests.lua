-- Requests, counted in a sliding window: the window before counts by as much of it as still lies within the window's length.
-- A window begins with its first request. ARGV: whose (a name), how many a window takes, its length in ms, how many came. Returns
-- how many of them were counted, how many are left then, and the ms until there are more again.
local key, most, length, came = P .. 'requests:' .. ARGV[1], ARGV[2] + 0, ARGV[3] + 0, ARGV[4] + 0
local now = math.floor(clock_us() / 1000)
local kept = call('HMGET', key, 'since', 'now', 'before')
local since, count, before = tonumber(kept[1]) or now, tonumber(kept[2]) or 0, tonumber(kept[3]) or 0
if now >= since + 2 * length or now < since then
  since, count, before = now, 0, 0
elseif now >= since + length then
  since, count, before = since + length, 0, count
end
local left_ms = since + length - now
local used = math.floor(before * left_ms / length) + count
local allowed = math.max(0, math.min(came, most - used))
if allowed > 0 then
  count, used = count + allowed, used + allowed
  call('HSET', key, 'since', whole(since), 'now', count, 'before', before)
  call('PEXPIRE', key, 2 * length)
end
local more_ms = left_ms
if before > 0 then
  more_ms = math.min(left_ms % (length / before), left_ms)
end
return { allowed, math.max(0, most - used), math.ceil(more_ms) }
