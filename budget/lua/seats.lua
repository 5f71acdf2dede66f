-- What a keeper says of its seats, as a whole and again and again. ARGV: keeper, us for which it holds, seq (it rises with each
-- thing a keeper says; '': it does not count), then for each seat: pool, name, worker, url, attempt ('': takes none), token (the
-- id of the one that the call came with; '': with none), word ('': goes on, 'leaving': no more calls, 'gone': it is no more). Returns
-- for each its state and attempt after it; 'taken': another keeper speaks for a seat of this name. Saying the same twice changes nothing, and
-- what comes after something later was heard changes nothing either: its sender has given it up. A token that another worker
-- was reached with before brings no call: somebody has it who is not the relay. 'refused' says so, unless another call holds the seat.
local keeper, found = ARGV[1], {}
local now = clock_us()
local until_us = now + tonumber(ARGV[2])
local KEPT = 300 -- of those times a seat is remembered that nobody speaks for
local kept_ms = whole(KEPT * tonumber(ARGV[2]) / 1000)
local TOKEN_MS = '180000' -- longer than any token is good for, by any clock it is verified by

local function used_elsewhere(token, worker)
  if token == '' then
    return false
  end
  local key = P .. 'token:' .. token
  return not call('SET', key, worker, 'NX', 'PX', TOKEN_MS) and call('GET', key) ~= worker
end

-- The worker of a call is over, and its lease may not be yet.
local function let_go(id, at, pool)
  local lease = call('HGET', P .. 'seated', id) == at and read_lease(id)
  unseat(id, at)
  if lease and string.find(lease.lane, INBOUND) then
    call('SADD', P .. 'left:' .. pool, id)
  end
end

if ARGV[3] ~= '' then
  local last = P .. 'said:' .. keeper
  if ARGV[3] + 0 < (call('GET', last) or 0) + 0 then
    for i = 4, #ARGV, 7 do
      local v = call('HMGET', P .. 'seat:' .. ARGV[i] .. '/' .. ARGV[i + 1], 'state', 'attempt')
      found[#found + 1], found[#found + 2] = v[1] or 'gone', v[2] or ''
    end
    return found
  end
  call('SET', last, ARGV[3], 'PX', kept_ms)
end

for i = 4, #ARGV, 7 do
  local pool, name, worker, attempt, word = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 4], ARGV[i + 6]
  local at = pool .. '/' .. name
  local key, free = P .. 'seat:' .. at, P .. 'free:' .. pool
  local v = call('HMGET', key, 'keeper', 'worker', 'state', 'attempt', 'until', 'left')
  local state, of = v[3] or 'away', v[4] or ''
  if v[1] and v[1] ~= keeper and v[5] + 0 > now then
    found[#found + 1], found[#found + 2] = 'taken', ''
  elseif word == 'gone' then
    if state == 'busy' and of ~= '' then
      let_go(of, at, pool)
    elseif of ~= '' then
      unseat(of, at)
      local lease = state == 'held' and read_lease(of)
      for _, scope in ipairs(lease and lease.scopes or {}) do
        if scope == 'seats:' .. pool then
          call('SADD', P .. 'owed:' .. scope, of)
        end
      end
    end
    call('DEL', key)
    call('ZREM', free, name)
    call('ZREM', P .. 'seats:' .. pool, name)
    found[#found + 1], found[#found + 2] = 'gone', ''
  else
    call('HSET', key, 'keeper', keeper, 'worker', worker, 'url', ARGV[i + 3], 'until', whole(until_us),
      'leaving', word == 'leaving' and '1' or '0')
    call('PEXPIRE', key, kept_ms)
    call('ZADD', P .. 'seats:' .. pool, whole(until_us), name)
    call('SADD', P .. 'pools', pool)
    if state == 'busy' and of ~= '' and attempt ~= of then
      let_go(of, at, pool) -- the worker freed it, or is another one: the call it had is over
      state = 'away'
    end
    local known, refused = state == 'busy' and of == attempt and v[2] == worker, false -- said before
    if attempt ~= '' and not known and used_elsewhere(ARGV[i + 5], worker) then
      refused = state ~= 'held' or of == attempt
      if of == attempt and state == 'busy' then
        unseat(of, at)
      end
      if state ~= 'held' then -- nobody's until its worker is through
        call('ZREM', free, name)
        call('HSET', key, 'state', 'away', 'attempt', '')
      end
    elseif attempt == '' then
      if state ~= 'held' then
        if state ~= 'free' or word == 'leaving' or v[5] + 0 <= now then
          call('ZREM', free, name)
          open_seat(at, now)
        else
          call('ZADD', free, whole(until_us), name)
        end
      end
    elseif state ~= 'held' and of ~= attempt and not read_lease(attempt) and call('EXISTS', P .. 'epoch') == 1 then
      -- No call of ours, or one that is over: nobody's seat until its worker is through. A rebuild has no leases at first.
      call('ZREM', free, name)
      call('HSET', key, 'state', 'away', 'attempt', '')
    elseif state ~= 'held' or of == attempt then
      call('ZREM', free, name)
      call('HSET', key, 'state', 'busy', 'attempt', attempt)
      local lease = read_lease(attempt)
      if lease and v[6] ~= attempt and moves_to(attempt, at, now) then
        for _, scope in ipairs(lease.scopes) do
          if is_seats(scope) then
            call('SREM', P .. 'owed:' .. scope, attempt)
          end
        end
      end
    end
    local after = call('HMGET', key, 'state', 'attempt')
    found[#found + 1], found[#found + 2] = refused and 'refused' or after[1], refused and '' or after[2]
  end
end
return found
