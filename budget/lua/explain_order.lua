-- Who waits at a carrier, for a forecast; nothing is changed. ARGV: carrier, class, tenant, how many tenants of a class to look at.
-- Returns JSON: `own` the tenant's score (false: in no order), `lanes` its lanes of that class as {name, score, length, share,
-- overflow, tenant's weight}, `present` the score that the order has reached, and for each class how many tenants there are (`count`) and
-- some of them, evenly from first to last, as {member, score, weight, length, overflow, carriers,
-- tenant's channels (-1: any number), those it has, us between its calls (-1: no rate)}; `blocked` and `away`: how many lanes
-- and tenants wait for a limit of their own, and some of them as {class, item, tenant, weight, length, overflow, carriers,
-- and that limit's three numbers}.
local carrier, class, tenant, most = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])

local AWAY = 16 -- of those that wait for a limit of their own

local function lane_of(name, score)
  local conf = call('HMGET', P .. 'lane:' .. name, 'share', 'weight', 'carriers')
  return { name, score, call('LLEN', Q .. name), tonumber(conf[1] or 1), call('SISMEMBER', P .. 'overflow', name),
    tonumber(conf[2] or 1), conf[3] or '' }
end

local function lanes_of(heap, limit)
  local listed, found = call('ZRANGE', heap, 0, limit - 1, 'WITHSCORES'), {}
  for i = 1, #listed, 2 do
    found[#found + 1] = lane_of(listed[i], tonumber(listed[i + 1]))
  end
  return found
end

local function numbers(scope)
  local limit = call('HMGET', scope_key(scope), 'max', 'interval')
  return tonumber(limit[1] or '') or -1, call('ZCARD', P .. 'held:' .. scope), tonumber(limit[2] or '') or -1
end

local function away()
  local listed, found = call('HRANDFIELD', P .. 'blocked:' .. carrier, AWAY, 'WITHVALUES'), {}
  for i = 1, #listed, 2 do
    local of, owner = string.match(listed[i], '^@(%a+)|(.+)$')
    local lanes = {}
    if of then
      lanes = lanes_of(lo_key(carrier, of, owner), 8)
    else
      local told = read_lane(listed[i])
      if told then
        of, owner = told.class, told.tenant
        lanes = { lane_of(listed[i], 0) }
      end
    end
    local length, overflow = 0, 0
    for _, lane in ipairs(lanes) do
      length, overflow = length + lane[3], math.max(overflow, lane[5])
    end
    if length > 0 and owner ~= tenant then
      found[#found + 1] = { of, listed[i], owner, lanes[1][6], length, overflow, lanes[1][7], numbers(listed[i + 1]) }
    end
  end
  return found
end

local function some(of)
  local key = to_key(carrier, of)
  local count = call('ZCARD', key)
  local looked, found = math.min(count, most), {}
  for i = 0, looked - 1 do
    local at = math.floor((i + 0.5) * count / looked)
    local one = call('ZRANGE', key, at, at, 'WITHSCORES')
    local member = one[1]
    if member then
      local length, overflow, weight, carriers = 0, 0, 1, ''
      for _, lane in ipairs(lanes_of(lo_key(carrier, member == tenant_of(member) and of or 'urgent', tenant_of(member)), 8)) do
        length, overflow, weight = length + lane[3], math.max(overflow, lane[5]), lane[6]
        carriers = lane[7]
      end
      found[#found + 1] = { member, tonumber(one[2]), weight, length, overflow, carriers, numbers('tenant:' .. tenant_of(member)) }
    end
  end
  return { count = count, some = found }
end

local own = call('ZSCORE', to_key(carrier, class), tenant)
if not own and class == 'urgent' then
  own = call('ZSCORE', to_key(carrier, 'normal'), '^' .. tenant)
end
local present = call('HGET', scope_key('carrier:' .. carrier), served_key[class])
local lanes = {}
for i, lane in ipairs(lanes_of(lo_key(carrier, class, tenant), most)) do
  lanes[i] = { lane[1], lane[2], lane[3], lane[4], lane[5], lane[6] }
end
return cjson.encode({ own = own and tonumber(own) or false, present = tonumber(present or 0), lanes = lanes,
  blocked = call('HLEN', P .. 'blocked:' .. carrier), away = away(),
  urgent = some('urgent'), normal = some('normal'), bulk = some('bulk') })
