-- Sixth part of the head: seats. A seat is a place for one call at a worker of ours. `seat:<pool>/<name>` is what is known of it:
-- keeper (who speaks for it), worker, url, until (us; how long it counts as there), state, attempt, leaving. free -> held(attempt)
-- by the permit, which alone frees it again; held -> busy(attempt) by its worker, which alone, or whose silence, frees it again;
-- away: nobody may have it. Free ones are in `free:<pool>` by `until`, so that a silent one is not counted and needs nobody who
-- takes it out; all are in `seats:<pool>`. `seated` says which seat an attempt has, `next` which one it has besides while another
-- agent is to take over.

-- A pool's seats as a scope: how many more calls it takes. `seats:<pool>` has one for each call from the permit on;
-- in `seats:<pool>:at_answer` calls are dialed without one, `per_seat` of them for each that is free. Whoever counts in it and has
-- no seat is in `owed`. Of the free ones `reserved` are for calls that come in, but for those that such calls have: all of them that
-- count, but those in `left`, whose worker is over before they are.
local function count_seats(s, now, inbound)
  local pool, later = string.match(s.name, '^seats:([^:]+)(.*)$')
  local conf = call('HMGET', scope_key('seats:' .. pool), 'reserved', 'per_seat')
  local left = call('ZCOUNT', P .. 'free:' .. pool, '(' .. whole(now), '+inf') - call('SCARD', P .. 'owed:seats:' .. pool)
  if not inbound and conf[1] and conf[1] ~= '' then
    local theirs = (call('HGET', P .. 'held', 'in:seats:' .. pool) or 0) - call('SCARD', P .. 'left:' .. pool)
    left = left - math.max(0, conf[1] - theirs)
  end
  if later ~= '' then
    left = math.floor(math.max(0, left) * (tonumber(conf[2] or '') or 1)) - call('SCARD', P .. 'owed:' .. s.name)
  end
  s.left = s.left and math.min(s.left, left) or left
  return s
end

local function read_seats(scope, now)
  return count_seats(read_scope(scope, now, false), now)
end

local function wake_seats(pool)
  for _, scope in ipairs({ 'seats:' .. pool, 'seats:' .. pool .. ':at_answer' }) do
    if call('SISMEMBER', P .. 'waiting', scope) == 1 then
      wake(scope)
    end
  end
end

local function unseat(id, at)
  if call('HGET', P .. 'seated', id) == at then
    call('HDEL', P .. 'seated', id)
  end
end

-- Nobody has the seat (any more): it is free, unless its worker is to go.
local function open_seat(at, now)
  local key, pool, name = P .. 'seat:' .. at, string.match(at, '^([^/]+)/(.+)$')
  local v = call('HMGET', key, 'until', 'leaving')
  if v[2] == '1' then
    call('HSET', key, 'state', 'away', 'attempt', '')
    return
  end
  call('HSET', key, 'state', 'free', 'attempt', '')
  call('ZADD', P .. 'free:' .. pool, v[1], name)
  if v[1] + 0 > now then
    wake_seats(pool)
  end
end

-- The attempt's worker has it at this seat. Another that was held for it meanwhile (its lease was written anew before its worker
-- was heard of) is free again. False: another worker says that it has it.
local function moves_to(id, at, now)
  local other = call('HGET', P .. 'seated', id)
  if other and other ~= at then
    if call('HGET', P .. 'next', id) == at then
      return false -- both are its own, until the one takes over from the other
    end
    local v = call('HMGET', P .. 'seat:' .. other, 'state', 'attempt')
    if v[2] == id then
      if v[1] ~= 'held' then
        return false
      end
      open_seat(other, now)
    end
  end
  call('HSET', P .. 'seated', id, at)
  call('SREM', P .. 'left:' .. string.match(at, '^[^/]+'), id)
  return true
end

-- A free seat of the pool for the attempt, the one heard of last; nil when there is none. `book`: `next`, or `seated`.
local function seat_for(pool, id, now, book)
  local free = P .. 'free:' .. pool
  local name = call('ZRANGE', free, '+inf', '(' .. whole(now), 'BYSCORE', 'REV', 'LIMIT', '0', '1')[1]
  if not name then
    return nil
  end
  local at = pool .. '/' .. name
  call('ZREM', free, name)
  call('HSET', P .. 'seat:' .. at, 'state', 'held', 'attempt', id)
  call('HSET', P .. (book or 'seated'), id, at)
  call('SREM', P .. 'left:' .. pool, id)
  return at
end

-- A lease that counts in the scope: it has a seat, or is owed one.
local function hold_seat(scope, id, now)
  local pool, later = string.match(scope, '^seats:([^:]+)(.*)$')
  if later ~= '' or not seat_for(pool, id, now) then
    call('SADD', P .. 'owed:' .. scope, id)
  end
end

local function give_up(book, id, now)
  local at = call('HGET', P .. book, id)
  if at then
    call('HDEL', P .. book, id)
    local v = call('HMGET', P .. 'seat:' .. at, 'state', 'attempt')
    if v[1] == 'held' and v[2] == id then
      open_seat(at, now)
    end
  end
end

-- The lease is over. What its worker has taken over is the worker's to free.
local function give_seat_back(scope, id, now)
  local pool = string.match(scope, '^seats:([^:]+)')
  call('SREM', P .. 'owed:' .. scope, id)
  call('SREM', P .. 'left:' .. pool, id)
  give_up('seated', id, now)
  give_up('next', id, now)
  wake_seats(pool)
end
