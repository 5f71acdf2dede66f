-- Third part of the head: what lanes and jobs are called.
local CLASSES = { 'urgent', 'normal', 'bulk' }

-- What a lane's name says: class, tenant's id, route, and the scopes of the lane's own side, the tenant's first.
local function read_lane(lane)
  local class, hex, route, rest = string.match(lane, '^dial%.(%a+)%.(%x+)%.([%w%-]+)(.*)$')
  if not class or #hex ~= 32 then
    return nil
  end
  local tenant = hex:sub(1, 8) .. '-' .. hex:sub(9, 12) .. '-' .. hex:sub(13, 16) .. '-' .. hex:sub(17, 20) .. '-' .. hex:sub(21)
  local scopes = { 'tenant:' .. tenant }
  for kind, name in string.gmatch(rest, '%.([cnafo])%-([%w%-]+)') do
    if kind == 'a' then
      scopes[#scopes + 1] = 'agents:' .. name
    elseif kind == 'f' or kind == 'o' then
      scopes[#scopes + 1] = 'seats:' .. name .. (kind == 'o' and ':at_answer' or '')
    else
      scopes[#scopes + 1] = (kind == 'c' and 'campaign:' or 'caller:') .. hex .. ':' .. name
    end
  end
  return { class = class, tenant = tenant, route = route, scopes = scopes }
end

local function is_seats(scope)
  return string.sub(scope, 1, 6) == 'seats:'
end

-- RQ's own job hash, so that `rq info` and the RQ dashboard show the truth. Written whole each time: a stale hash of an
-- earlier life of the id never locks it out.
local function write_job(id, lane, iso, data, timeout, result_ttl)
  local key = 'rq:job:' .. id
  call('DEL', key)
  call('HSET', key, 'created_at', iso, 'enqueued_at', iso, 'data', data, 'origin', lane,
    'description', 'controller.dial.dial()', 'status', 'queued', 'timeout', timeout,
    'result_ttl', result_ttl, 'failure_ttl', result_ttl,
    'started_at', '', 'ended_at', '', 'last_heartbeat', '', 'worker_name', '')
end
