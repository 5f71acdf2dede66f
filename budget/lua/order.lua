-- Fifth part of the head: the fair order. For each carrier and class a heap of tenants (`to:`), for each of these a heap of
-- the tenant's lanes (`lo:`). A tenant's virtual time (`vt:<class>`) is one for all carriers, so that many routes give no
-- extra share; its place at a carrier is that time plus an offset of the carrier's own, which is set when it
-- comes: at the carrier's present, no credit for the time it asked for nothing. What it was served elsewhere moves it
-- back here, but never further than LAG from where it came or was served last (`base`, written with the offset): being
-- served where nobody else wanted to be is no debt for ever.
local LAG = 6
local served_key = { urgent = 'clk1', normal = 'clk2', bulk = 'clk3' }

local function to_key(carrier, class)
  return P .. 'to:' .. carrier .. ':' .. class
end

local function lo_key(carrier, class, tenant)
  return P .. 'lo:' .. carrier .. ':' .. class .. ':' .. tenant
end

-- Where a tenant's lanes stood at a carrier when they left its order.
local function cv_key(carrier, class, tenant)
  return P .. 'cv:' .. carrier .. ':' .. class .. ':' .. tenant
end

-- A member's tenant: the id, or '^' and the id.
local function tenant_of(member)
  return string.byte(member) == 94 and string.sub(member, 2) or member
end

-- The tenant's virtual time, and its offset and base at the carrier; all live in one hash.
local function place_of(carrier, class, member)
  local v = call('HMGET', P .. 'vt:' .. class, tenant_of(member), carrier .. ' ' .. member)
  local off, base = string.match(v[2] or '', '^(%S+) (%S+)$')
  return tonumber(v[1] or 0), tonumber(off or 0), tonumber(base or 0)
end
local function offset(off, base)
  return exact(off) .. ' ' .. exact(base)
end

-- The carriers of a lane as stated: 'carrier:tier:weight,...'
local function servings(text)
  local found = {}
  for carrier, tier, weight in string.gmatch(text or '', '([^,:]+):(%d+):(%d+)') do
    found[#found + 1] = { carrier = carrier, tier = tonumber(tier), weight = tonumber(weight) }
  end
  return found
end

-- A tenant comes into a carrier's order. `member` is its id, or '^' and its id when its urgent calls beyond the cap wait
-- among the normal ones.
local function enter(carrier, class, member)
  local key = to_key(carrier, class)
  if call('ZSCORE', key, member) then
    return false
  end
  local present = tonumber(call('HGET', scope_key('carrier:' .. carrier), served_key[class]) or '0')
  local vt, off = place_of(carrier, class, member)
  local score = math.min(math.max(vt + off, present), present + LAG)
  call('HSET', P .. 'vt:' .. class, carrier .. ' ' .. member, offset(score - vt, score))
  call('ZADD', key, exact(score), member)
  return true
end

-- A lane comes into its tenant's order at a carrier: by the campaign's weight, and no credit for having been empty. Where
-- it stood when it ran empty is kept (`cv:`), or a lane that is filled call by call would always be next.
local function enter_lane(carrier, class, tenant, lane)
  local key = lo_key(carrier, class, tenant)
  if call('ZSCORE', key, lane) then
    return false
  end
  local present = tonumber(call('ZRANGE', key, '0', '0', 'WITHSCORES')[2] or '0')
  local own = tonumber(call('HGET', cv_key(carrier, class, tenant), lane) or '0')
  call('ZADD', key, exact(math.min(math.max(own, present), present + LAG)), lane)
  return true
end

-- The lane is empty, or waits: it leaves its tenant's order at this carrier.
local function leave_lane(carrier, class, tenant, lane)
  local key = lo_key(carrier, class, tenant)
  call('HSET', cv_key(carrier, class, tenant), lane, exact(tonumber(call('ZSCORE', key, lane))))
  call('ZREM', key, lane)
end

-- Nothing of the lane stays behind at this carrier: it is forgotten, or the carrier serves it no more.
local function forget_lane(carrier, class, tenant, lane)
  local blocked = P .. 'blocked:' .. carrier
  local scope = call('HGET', blocked, lane)
  if scope then
    call('HDEL', blocked, lane)
    call('SREM', P .. 'wait:' .. scope, carrier .. ' ' .. lane)
  end
  call('ZREM', lo_key(carrier, class, tenant), lane)
  call('HDEL', cv_key(carrier, class, tenant), lane)
  call('HDEL', P .. 'lane:' .. lane, 'at:' .. carrier, 'd:' .. carrier)
end

local function has_lanes(carriers, class, tenant)
  for _, carrier in ipairs(carriers) do
    if call('EXISTS', lo_key(carrier, class, tenant), cv_key(carrier, class, tenant)) > 0 then
      return true
    end
  end
  return false
end

-- A tenant without a lane of the class at any carrier has no place in that order any more. Its virtual time goes only when
-- every offset to it goes: one without the other would be a credit.
local function forget_tenant(class, tenant)
  local all = call('SMEMBERS', P .. 'carriers')
  if has_lanes(all, class, tenant) then
    return
  end
  local urgent, item = class == 'urgent', '@' .. class .. '|' .. tenant
  for _, carrier in ipairs(all) do
    local scope = call('HGET', P .. 'blocked:' .. carrier, item)
    if scope then
      call('HDEL', P .. 'blocked:' .. carrier, item)
      call('SREM', P .. 'wait:' .. scope, carrier .. ' ' .. item)
    end
    call('ZREM', to_key(carrier, class), tenant)
    call('HDEL', P .. 'vt:' .. class, carrier .. ' ' .. tenant)
    if urgent then
      call('ZREM', to_key(carrier, 'normal'), '^' .. tenant)
      call('HDEL', P .. 'vt:normal', carrier .. ' ^' .. tenant)
      call('HDEL', P .. 'uvt:' .. carrier, tenant)
      call('ZREM', P .. 'demoted:' .. carrier, tenant)
    end
  end
  if class ~= 'normal' or not has_lanes(all, 'urgent', tenant) then
    call('HDEL', P .. 'vt:' .. class, tenant)
  end
  if urgent and not has_lanes(all, 'normal', tenant) then
    call('HDEL', P .. 'vt:normal', tenant)
  end
end

-- Puts a lane with work into the order of each carrier that may serve it, unless it waits there for a scope that is full.
-- Pumps are woken for what is new; returns whether anything was. `since`: it was empty until now, a moment that is noted.
local function activate(lane, since)
  local conf = call('HMGET', P .. 'lane:' .. lane, 'carriers', 'tenant', 'class')
  if not conf[1] then
    if call('SADD', P .. 'unlaned', lane) == 1 then
      call('PUBLISH', P .. 'wake', 'lanes')
    end
    return false
  end
  if since then
    call('HSET', P .. 'lane:' .. lane, 'since', whole(since))
  end
  local class, tenant, news = conf[3], conf[2], false
  for _, s in ipairs(servings(conf[1])) do
    local blocked = call('HMGET', P .. 'blocked:' .. s.carrier, lane, '@' .. class .. '|' .. tenant)
    if not blocked[1] then
      local came = enter_lane(s.carrier, class, tenant, lane)
      if not blocked[2] and (class ~= 'urgent' or not call('ZSCORE', to_key(s.carrier, 'normal'), '^' .. tenant)) then
        came = enter(s.carrier, class, tenant) or came
      end
      if came and not blocked[2] then
        call('PUBLISH', P .. 'wake', s.carrier .. ' * 0')
        news = true
      end
    end
  end
  return news
end

-- When a scope's rate allows the next call, whoever waits for it is woken by the first request that comes then. The next such
-- moment of all stands in `timed_next`, which every request reads. Only ever earlier: a clock that stepped back moves it.
local function come_back(scope, at)
  call('ZADD', P .. 'timed', 'LT', whole(at), scope)
  call('SET', P .. 'timed_next', whole(call('ZRANGE', P .. 'timed', 0, 0, 'WITHSCORES')[2]))
end

-- A lane or (as '@class|tenant') a whole tenant leaves a carrier's order until the scope has room: `at` is when its rate
-- allows the next one, nil when somebody has to give something back first.
local function block(carrier, item, scope, at)
  call('HSET', P .. 'blocked:' .. carrier, item, scope)
  call('SADD', P .. 'wait:' .. scope, carrier .. ' ' .. item)
  call('SADD', P .. 'waiting', scope)
  if at then
    come_back(scope, at)
  end
end

-- Everybody who waits for the scope comes back into order; whoever does not fit will wait again.
local function wake(scope)
  local waiters = call('SMEMBERS', P .. 'wait:' .. scope)
  call('SREM', P .. 'waiting', scope)
  call('ZREM', P .. 'timed', scope)
  if #waiters == 0 then
    return
  end
  call('DEL', P .. 'wait:' .. scope)
  local told = {}
  for _, waiter in ipairs(waiters) do
    local carrier, item = string.match(waiter, '^(%S+) (.+)$')
    call('HDEL', P .. 'blocked:' .. carrier, item)
    local class, tenant = string.match(item, '^@(%a+)|(.+)$')
    if class then
      if call('EXISTS', lo_key(carrier, class, tenant)) == 1 then
        enter(carrier, class, tenant)
      end
    elseif call('LLEN', Q .. item) > 0 then
      activate(item)
    end
    if not told[carrier] then
      told[carrier] = true
      call('PUBLISH', P .. 'wake', carrier .. ' * 0')
    end
  end
end

-- The lane's tenant is not charged for the permit after all. Urgent calls beyond the cap were charged among the normal ones.
local function refund(lane, carrier)
  local v = call('HMGET', P .. 'lane:' .. lane, 'tenant', 'class', 'weight', 'carriers')
  local tenant, class = v[1], v[2]
  if not tenant then
    return
  end
  if class == 'urgent' and call('ZSCORE', to_key(carrier, 'normal'), '^' .. tenant) then
    class = 'normal'
  end
  local vt = tonumber(call('HGET', P .. 'vt:' .. class, tenant) or 0) - 1 / tonumber(v[3])
  call('HSET', P .. 'vt:' .. class, tenant, exact(vt))
  for _, s in ipairs(servings(v[4])) do
    for _, member in ipairs({ tenant, '^' .. tenant }) do
      local _, off = place_of(s.carrier, class, member)
      call('ZADD', to_key(s.carrier, class), 'XX', 'LT', exact(vt + off), member)
    end
  end
end
