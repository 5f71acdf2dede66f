-- States what lanes are and who may serve them, and puts those in order that hold work and are not (also work that plain
-- Queue.enqueue left there). ARGV: lane, tenant, class, tenant's weight, campaign's share, carriers ('id:tier:weight,...'),
-- spill us; again and again. No carriers: the lane leaves every order; one that was never stated stays so. Returns how many
-- changed or came into order; wakes only for them.
local now, changed = clock_us(), 0
local names = { 'tenant', 'class', 'weight', 'share', 'carriers', 'spill' }
for i = 1, #ARGV, 7 do
  local lane, class, tenant, carriers = ARGV[i], ARGV[i + 2], ARGV[i + 1], ARGV[i + 5]
  local key = P .. 'lane:' .. lane
  local before = call('HMGET', key, unpack(names))
  local news = false
  for n = 1, #names do
    if before[n] ~= ARGV[i + n] and (before[5] or carriers ~= '') then
      call('HSET', key, names[n], ARGV[i + n])
      news = true
    end
  end
  if news then
    call('SREM', P .. 'unlaned', lane)
    local told = read_lane(lane)
    local scopes = told and table.concat(told.scopes, ',', 2) or ''
    local alone = carriers ~= '' and not string.find(carriers, ',', 1, true)
    call('HSET', key, 'route', told and told.route or '', 'scopes', scopes,
      'plan', alone and not string.find(scopes, 'seats:', 1, true) and ARGV[i + 3] .. ' ' .. ARGV[i + 4] .. ' ' .. scopes or '')
    for _, s in ipairs(servings(before[5])) do
      if not string.find(',' .. carriers, ',' .. s.carrier .. ':', 1, true) then
        forget_lane(s.carrier, class, tenant, lane)
      end
    end
  end
  if carriers ~= '' and call('LLEN', Q .. lane) > 0 and activate(lane) then
    call('HSET', key, 'since', whole(now))
    news = true
  end
  changed = changed + (news and 1 or 0)
end
return changed
