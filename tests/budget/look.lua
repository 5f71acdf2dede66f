-- Everything that World.check wants to know of the budget, in one look. ARGV: the prefix of its keys, what is asked.
local P, ask, call = ARGV[1], cjson.decode(ARGV[2]), redis.call
local function all(list, how)
  local found = {}
  for i, one in ipairs(list) do found[i] = how(one) end
  return found
end
local function member(scope, item)
  return not scope or call('SISMEMBER', P .. 'wait:' .. scope, item) == 1
end
return cjson.encode({
  leases = all(ask.trunks, function(trunk) return call('ZRANGE', P .. 'held:' .. trunk, 0, -1) end),
  held = all(ask.scopes, function(scope) return tonumber(call('HGET', P .. 'held', scope) or 0) end),
  lanes = all(ask.lanes, function(lane) return call('LRANGE', 'rq:queue:' .. lane, 0, -1) end),
  popped = call('ZRANGE', P .. 'popped', 0, -1),
  known = call('SMEMBERS', P .. 'in'),
  places = all(ask.places, function(p)
    local lane, class, tenant, carrier = p[1], p[2], p[3], p[4]
    local item = '@' .. class .. '|' .. tenant
    local blocked = call('HMGET', P .. 'blocked:' .. carrier, lane, item)
    return { own = blocked[1], whole = blocked[2],
      place = call('ZSCORE', P .. 'lo:' .. carrier .. ':' .. class .. ':' .. tenant, lane),
      order = call('ZSCORE', P .. 'to:' .. carrier .. ':' .. class, tenant),
      demoted = call('ZSCORE', P .. 'to:' .. carrier .. ':normal', '^' .. tenant),
      told = member(blocked[1], carrier .. ' ' .. lane) and member(blocked[2], carrier .. ' ' .. item) }
  end),
})
