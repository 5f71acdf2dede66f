-- Where the agent of a call is. ARGV: attempt, pool, a seat that could not be reached ('': none). The seat it has, also one that
-- nobody speaks for any more: its worker may live, and it is its permit's; else a free one. Returns {url, seat}, or {'', 'no_lease'} (nobody would free it again) or {'', 'no_seat'}.
local id, pool, bad = ARGV[1], ARGV[2], ARGV[3]
local lease, now = read_lease(id), clock_us()
if not lease then
  return { '', 'no_lease' }
end
local counts = false
for _, scope in ipairs(lease.scopes) do
  counts = counts or string.match(scope, '^seats:([^:]+)') == pool
end
if not counts then
  return { '', 'no_seat' } -- its end would not give one back
end
local at = call('HGET', P .. 'seated', id)
if at then
  local key = P .. 'seat:' .. at
  local v = call('HMGET', key, 'url', 'state', 'attempt')
  if v[3] == id and at ~= bad then
    return { v[1], at }
  end
  call('HDEL', P .. 'seated', id)
  if v[2] == 'held' and v[3] == id then
    call('HSET', key, 'state', 'away', 'attempt', '') -- free when its keeper speaks for it again
  end
end
at = seat_for(pool, id, now)
for _, scope in ipairs(lease.scopes) do
  if is_seats(scope) then
    call(at and 'SREM' or 'SADD', P .. 'owed:' .. scope, id)
  end
end
if not at then
  return { '', 'no_seat' }
end
return { call('HGET', P .. 'seat:' .. at, 'url'), at }
