-- States what lanes are and who may serve them, and puts those in order that hold work and are not (also work that plain
-- Queue.enqueue left there). ARGV: lane, tenant, class, weight, carriers by comma; again and again. No carriers: the lane
-- leaves every order; one that was never stated stays so. Returns how many changed or came into order; wakes only for them.
local changed = 0
for i = 1, #ARGV, 5 do
  local lane, carriers = ARGV[i], ARGV[i + 4]
  local key = P .. 'lane:' .. lane
  local before = redis.call('HMGET', key, 'tenant', 'class', 'weight', 'carriers')
  local news = false
  if before[1] ~= ARGV[i + 1] or before[2] ~= ARGV[i + 2] or before[3] ~= ARGV[i + 3] or before[4] ~= carriers then
    if before[4] or carriers ~= '' then
      redis.call('HSET', key, 'tenant', ARGV[i + 1], 'class', ARGV[i + 2], 'weight', ARGV[i + 3], 'carriers', carriers)
      redis.call('SREM', P .. 'unlaned', lane)
      news = true
    end
    local stays = ',' .. carriers .. ','
    for carrier in string.gmatch(before[4] or '', '[^,]+') do
      if not string.find(stays, ',' .. carrier .. ',', 1, true) then
        redis.call('ZREM', P .. 'lanes:' .. carrier, lane)
      end
    end
  end
  if carriers ~= '' and redis.call('LLEN', Q .. lane) > 0 and activate(lane) then
    news = true
  end
  changed = changed + (news and 1 or 0)
end
return changed
