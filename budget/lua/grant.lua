-- One permit after the other, until something stops it.
local limit, later, slot, slowest = 'empty', -1, nil, nil
if state == 'probing' then
  probe_at, probe_us, probes = (probe_at or 0) + 0, (probe_us or 0) + 0, (probes or 0) + 0
  if probe_at > now + horizon + probe_us then
    probe_at = now -- the clock stepped back
  end
end
while g.taken < want do
  slot, slowest = next_slot(shared, now + lead)
  local stop = full(shared)
  if stop then
    limit, later = stop.name, seldom().wait_for(stop, carrier, switch, now)
    break
  end
  if slot - now > horizon then
    limit, later = slowest or 'cps', nil
    break
  end
  if state == 'probing' and (probes <= 0 or probe_at > slot) then
    limit, later = 'probing', probes > 0 and math.ceil(probe_at - now - lead) or -1
    break
  end
  local near = slot - now <= reach
  if not take_next(g, slot, near) then
    if not near and (head(g, 'normal') or head(g, 'bulk')) then
      limit, later = slowest or 'cps', nil
    else
      local at = math.min(g.soonest or math.huge, timed_next or math.huge)
      limit, later = g.limit or 'empty', at < math.huge and math.max(1000, math.ceil(at - now)) or -1
    end
    break
  end
  limit, later = 'more', nil
  if state == 'probing' then
    probe_at, probes = slot + probe_us, probes - 1
    call('HSET', ckey, 'probe_at', whole(probe_at), 'probes', whole(probes))
  end
end

-- What has changed is written once.
local news = {}
local function as_place(place)
  return type(place) == 'string' and place or exact(place)
end
if g.taken > 0 then
  put_back(g, 'urgent')
  put_back(g, 'normal')
  put_back(g, 'bulk')
  call('ZADD', P .. 'held:' .. own, unpack(g.held))
  for i = 1, on_its_side do
    call('ZADD', P .. 'out:' .. shared[i].name, unpack(g.out))
  end
  call('ZADD', P .. 'popped', unpack(g.popped))
  local count = g.taken == 1 and '1' or whole(g.taken)
  for i = 1, #counted do
    call('HINCRBY', P .. 'held', counted[i], count)
  end
  for _, one in pairs(g.lanes) do
    if one.scopes and one.taken > 0 then
      for _, scope in ipairs(one.scopes) do
        call('HINCRBY', P .. 'held', scope, whole(one.taken))
      end
    end
  end
  for i = 2, #shared do
    if shared[i].moved then
      call('HSET', scope_key(shared[i].name), 'tat', whole(shared[i].tat))
    end
  end
  for name, s in pairs(g.scopes) do
    if s and s.moved then
      call('HSET', scope_key(name), 'tat', whole(s.tat))
    end
  end
  if trunk.moved then
    news[1], news[2] = 'tat', whole(trunk.tat)
  end
  if g.normal ~= (clk2 or 0) then
    news[#news + 1], news[#news + 2] = 'clk2', as_place(g.normal)
  end
  if g.urgent ~= (clk1 or 0) then
    news[#news + 1], news[#news + 2] = 'clk1', as_place(g.urgent)
  end
  if g.bulk ~= (clk3 or 0) then
    news[#news + 1], news[#news + 2] = 'clk3', as_place(g.bulk)
  end
  local last = full(shared)
  if last and limit == 'more' then
    limit, later = last.name, seldom().wait_for(last, carrier, switch, now)
  end
else
  seldom().pass_on(shared)
end

if later == nil then
  local next_one, behind = next_slot(shared, now + lead)
  local span = (g.taken > 0 or not behind or behind == own) and math.max(trunk.step or 0, margin)
  local line, mine = turn_after(turns, switch, g.taken == 0, next_one, whole(next_one), now, lead, span)
  if line ~= turns then
    news[#news + 1], news[#news + 2] = 'turns', line
  end
  later, g.reply[4] = math.max(1, math.ceil(mine - now - lead - margin)), 1
end
asked = (asked or 0) + 0
if now - asked > LOOK_US or now < asked then
  news[#news + 1], news[#news + 2] = 'asked', whole(now)
end
if g.floor ~= (floor_at or 0) + 0 then
  news[#news + 1], news[#news + 2] = 'floor', whole(g.floor)
end
if #news > 0 then
  call('HSET', ckey, unpack(news))
end
g.reply[1], g.reply[2] = limit, later
return g.reply
