-- A call that came in: counted, or refused because something that it would count in is full. Its INVITE is here already, so no
-- rate is asked, nor whether its carrier is to be dialed through; and the reserve is for calls like this one.
-- ARGV: attempt, carrier, lane, switch, lease us. Returns {fence, ''}, that of its lease when it has one already; {'', scope}
-- when it is refused; {'', 'not_ready'} without an epoch.
local id, carrier, lane, switch = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local epoch = call('GET', P .. 'epoch')
if not epoch then
  return { '', 'not_ready' }
end
local known = read_lease(id)
if known then
  return { known.fence, '' }
end
local now, scopes = clock_us(), scopes_of(carrier, lane, switch)
for _, scope in ipairs(scopes) do
  local theirs = of_carrier(scope)
  local v = call('HMGET', scope_key(scope), 'max', 'interval', 'paused', 'tat', 'seen', 'gap', 'rest', 'factor', 'factor_at',
    'recover', 'cap', 'cap_at')
  local s = as_scope(scope, now, theirs, unpack(v, 1, 12))
  if is_seats(scope) then
    s = count_seats(s, now, true)
  end
  if s.left and s.left <= 0 or s.paused and not theirs then
    return { '', scope }
  end
end
local fence = whole(epoch * 4294967296 + call('INCRBY', P .. 'fence', '1'))
hold(id, fence, carrier, lane, switch, now, tonumber(ARGV[5]), scopes)
return { fence, '' }
