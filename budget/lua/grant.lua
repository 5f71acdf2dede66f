-- One permit after the other, until something stops it.
local limit, later = 'empty', -1
local probe_at, probes = tonumber(own.probe_at or 0), tonumber(own.probes or 0)
if probe_at > now + horizon + tonumber(own.probe_us or 0) then
  probe_at = now -- the clock stepped back
end

-- The next call whose turn it is at the slot, if there is one. `near`: the slot is so near that any class may have it.
local function take_next(near)
  for _ = 1, LOOKS do
    if skips >= SKIPS then
      look_again(now + SKIPS_POLL_US)
      return false
    end
    local tried = false
    for _, class in ipairs(classes()) do
      local h = head(class)
      if h and (near or class == 'urgent') then
        tried = true
        if not (class == 'urgent' and beyond_cap(h)) and take(class, h) then
          return true
        end
        break
      elseif h and class == 'bulk' then
        return false -- its floor is due: urgent calls do not reserve what comes before
      end
    end
    if not tried then
      return false
    end
  end
  look_again(now + (moved_back and 5000 or 1000)) -- many were passed over: the rest of them next time
  return false
end

for _ = 1, want do
  next_slot()
  local stop = full()
  if stop then
    limit, later = stop.name, wait_for(stop)
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
  if not take_next(near) then
    if not near and (head('normal') or head('bulk')) then
      limit, later = slowest or 'cps', nil
    else
      local at = math.min(soonest or math.huge, timed_next or math.huge)
      limit, later = first_limit or 'empty', at < math.huge and math.max(1000, math.ceil(at - now)) or -1
    end
    break
  end
  limit, later = 'more', nil
  if state == 'probing' then
    probe_at, probes = slot + tonumber(own.probe_us or 0), probes - 1
    call('HSET', ckey, 'probe_at', whole(probe_at), 'probes', whole(probes))
  end
end

-- What has changed is written once.
if #granted > 0 then
  for scope, flat in pairs(held) do
    call('ZADD', P .. 'held:' .. scope, unpack(flat))
  end
  for scope, flat in pairs(outs) do
    call('ZADD', P .. 'out:' .. scope, unpack(flat))
  end
  local popped, popped_until = {}, whole(now + tonumber(ARGV[8]))
  for i, id in ipairs(ids) do
    popped[2 * i - 1] = popped_until
    popped[2 * i] = id
  end
  call('ZADD', P .. 'popped', unpack(popped))
  for _, s in ipairs(shared) do
    if s.moved and s ~= trunk then
      call('HSET', scope_key(s.name), 'tat', whole(s.tat))
    end
  end
  for name, s in pairs(scopes) do
    if s.moved then
      call('HSET', scope_key(name), 'tat', whole(s.tat))
    end
  end
  local last = full()
  if last and limit == 'more' then
    limit, later = last.name, wait_for(last)
  end
else
  pass_on()
end

-- Turns. Each pump is told its own next slot, one behind the other, so that of several nobody asks in vain; who misses
-- its turn holds nobody up, because the next one comes for itself anyway.
local turns, mine, paced = {}, nil, later == nil -- a pump that came too early keeps its turn
if later == nil then
  next_slot()
  local span = math.max(trunk.step or 0, margin)
  local latest
  for pump, at in string.gmatch(own.turns or '', '([^=,]+)=(%d+)') do
    at = tonumber(at)
    if pump == switch then
      mine = at
    elseif at >= now + lead and at < now + 60000000 then
      turns[#turns + 1] = pump .. '=' .. whole(at)
      latest = math.max(latest or at, at)
    end
  end
  if #granted == 0 and slowest and slowest ~= trunk.name then
    mine = slot -- another scope is a moment behind: that is no reason to go behind every other pump of this carrier
  elseif #granted > 0 or not mine or mine < slot or mine > now + 60000000 then
    mine = math.max(slot, latest and latest + span or 0)
  end
  turns[#turns + 1] = switch .. '=' .. whole(mine)
  later = math.max(1, math.ceil(mine - now - lead - margin))
end
local news = {}
local function note(field, value)
  news[#news + 1] = field
  news[#news + 1] = value
end
local asked = tonumber(own.asked or 0)
if now - asked > LOOK_US or now < asked then
  note('asked', whole(now))
end
if paced then
  local line = table.concat(turns, ',')
  if line ~= own.turns then
    note('turns', line)
  end
end
if trunk.moved then
  note('tat', whole(trunk.tat))
end
for class, field in pairs(served_key) do
  if clk_moved[class] then
    note(field, exact(clk[class]))
  end
end
if floor ~= tonumber(own.floor or 0) then
  note('floor', whole(floor))
end
if #news > 0 then
  call('HSET', ckey, unpack(news))
end
local reply = { limit, later, epoch, paced and 1 or 0 }
for _, g in ipairs(granted) do
  for i = 1, 4 do
    reply[#reply + 1] = g[i]
  end
end
return reply
