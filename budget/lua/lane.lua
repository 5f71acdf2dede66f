-- States what a lane is and who may serve it, and puts it in order if it holds work (also work that plain
-- Queue.enqueue left there). ARGV: lane, tenant, class, weight, carriers by comma.
local lane = ARGV[1]
local before = redis.call('HGET', P .. 'lane:' .. lane, 'carriers')
redis.call('HSET', P .. 'lane:' .. lane, 'tenant', ARGV[2], 'class', ARGV[3], 'weight', ARGV[4], 'carriers', ARGV[5])
redis.call('SREM', P .. 'unlaned', lane)
if before and before ~= ARGV[5] then
  local stays = ',' .. ARGV[5] .. ','
  for carrier in string.gmatch(before, '[^,]+') do
    if not string.find(stays, ',' .. carrier .. ',', 1, true) then
      redis.call('ZREM', P .. 'lanes:' .. carrier, lane)
    end
  end
end
if redis.call('LLEN', Q .. lane) > 0 then
  activate(lane)
end
return 1
