-- The numbers of scopes, live: a change acts on the next permit. ARGV: for each scope its name, how many field-value pairs
-- follow, then these ('' clears one): max, interval (us; 0: never), linger, paused, gap, rest, and of a carrier more (its
-- account and source IP), urgent_share, bulk_floor; on the carrier's side `reserved`, for calls that come in. A rate that is lowered, and one where there was none, rests for `rest` us
-- after the last slot: what left before the change has left the window then. Returns how many scopes changed.

-- Where there was no rate nobody wrote down the last slot; no horizon is longer.
local AHEAD_US = 1000000
-- For whoever reads the hash; and Redis finds the fields of a hash with a text of more than 64 bytes faster.
local ABOUT = 'counts, us, and moments in us since 1970 by the clock of Redis; see docs/budget.md'

-- What was stated of a carrier, once more in one text: grant reads it for every call (see PLAN).
local function write_plan(key)
  local v = call('HMGET', key, 'max', 'interval', 'paused', 'gap', 'rest', 'urgent_share', 'bulk_floor', 'more',
    'reserved')
  if v[1] and v[2] then
    call('HSET', key, 'about', ABOUT, 'plan', table.concat({ v[1], v[2], v[3] or '0', v[4] or '', v[5] or '',
      v[6] or '1', v[7] or '0', (v[9] or '') == '' and '0' or v[9], v[8] or '' }, ' '))
  end
end
local now, changed, i = clock_us(), 0, 1

local function lowered(scope, before, new)
  local old = tonumber(before or '') or 0
  if new == 0 or (old > 0 and new <= old) then
    return false
  end
  -- A carrier that was never stated was never granted from, or a rebuild has said how long it rests.
  return before or not string.find(scope, '^carrier:'), old
end

-- A carrier that joins an account or a source IP brings along what is up and what still counts, and what it has just dialed.
local function joined(carrier, before, now_in)
  for scope in string.gmatch(now_in, '[^,]+') do
    if not string.find(',' .. before .. ',', ',' .. scope .. ',', 1, true) then
      for _, id in ipairs(call('ZRANGE', P .. 'held:' .. carrier, '0', '-1')) do
        local lease = read_lease(id)
        if lease and not string.find(',' .. table.concat(lease.scopes, ',') .. ',', ',' .. scope .. ',', 1, true) then
          lease.scopes[#lease.scopes + 1] = scope
          call('SET', P .. 'lease:' .. id, lease_text(lease.fence, lease.carrier, lease.lane, lease.switch, lease.at, lease.slot,
            lease.tat, lease.scopes))
          call('HINCRBY', P .. 'held', scope, '1')
          count_inbound(lease.lane, { scope }, '1')
        end
      end
      call('ZUNIONSTORE', P .. 'linger:' .. scope, 2, P .. 'linger:' .. scope, P .. 'linger:' .. carrier, 'AGGREGATE', 'MAX')
      local tat = settled(scope, now)
      call('HSET', scope_key(scope), 'tat', whole(math.max(tat, now + tonumber(call('HGET', scope_key(scope), 'rest') or 0))))
    end
  end
end

while ARGV[i] do
  local scope, count = ARGV[i], tonumber(ARGV[i + 1])
  local key, news, before = scope_key(scope), false, {}
  for n = i + 2, i + 2 * count, 2 do
    local field, value = ARGV[n], ARGV[n + 1]
    before[field] = call('HGET', key, field)
    if before[field] ~= value then
      call('HSET', key, field, value)
      news = true
    end
  end
  if news then
    changed = changed + 1
    call('PERSIST', key)
    local v = call('HMGET', key, 'interval', 'rest', 'tat', 'max', 'paused')
    local is, old = lowered(scope, before.interval, tonumber(v[1] or '') or 0)
    local resting = tonumber(v[2] or '') or 0
    if is and resting > 0 then
      local tat = of_carrier(scope) and settled(scope, now) or tonumber(v[3] or '0')
      rest(scope, tat, old > 0 and tat - old or now + AHEAD_US, now, resting)
    end
    if before.more then
      joined(scope, before.more, call('HGET', key, 'more'))
    end
    wake(scope)
    local carrier = string.match(scope, '^carrier:(.*)')
    if carrier then
      call('SADD', P .. 'carriers', carrier)
      write_plan(key)
    else
      local limits = (v[1] or '') ~= '' or (v[4] or '') ~= '' or v[5] == '1'
      limit(scope, limits)
    end
    call('PUBLISH', P .. 'wake', carrier and carrier .. ' * 0' or '*')
  end
  i = i + 2 + 2 * count
end
return changed
