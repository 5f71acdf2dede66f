-- The plain case: one permit for a normal call that nobody limits but its carrier. It decides as what follows does (a test
-- holds them against each other), at half the cost. When anything is out of the ordinary it breaks off, before it has changed
-- anything, and what follows decides.
repeat
  if want ~= 1 or special or overdue > 0 or limits and limits ~= ',lanes,' or timed_next and timed_next <= now or more ~= '' or paused == '1'
    or most == '' or interval == '' or interval == '0' or not tat or not seen or seen == '' then
    break
  end
  local passed, step, slot = now - seen, interval + 0, now + lead
  tat = tat + 0
  if tat > slot then
    slot = tat
  end
  if passed < 0 or passed > LOOK_US or gap ~= '' and passed > gap + 0 or slot > now + reach then
    break
  end
  local held = P .. 'held:' .. own
  if most - call('ZCARD', held) - call('ZCARD', P .. 'linger:' .. own) - reserved <= 1 then
    break -- the last one; or what lingers may be over, or of the reserve be in use
  end
  local orders, floor, due = P .. 'to:' .. carrier, (floor_at or 0) + 0, false
  if floor_share + 0 > 0 then
    due = slot >= floor or floor > slot + step / floor_share
  end
  if (due and call('EXISTS', orders .. ':urgent', orders .. ':bulk') or call('EXISTS', orders .. ':urgent')) > 0 then
    break
  end

  -- The first tenant, if it is where it belongs; its first lane.
  local order = orders .. ':normal'
  local first = call('ZRANGE', order, '0', '0', 'WITHSCORES')
  local tenant = first[1]
  if not tenant or string.byte(tenant) == 94 then
    break
  end
  local here, tenant_scope = carrier .. ' ' .. tenant, 'tenant:' .. tenant
  local known = call('HMGET', P .. 'vt:normal', tenant, here)
  local off = string.match(known[2] or '', '^(%S+) ')
  local vt, score = (known[1] or 0) + 0, first[2] + 0
  if not off or vt + off > score + 0.000001 or limits and call('SISMEMBER', P .. 'limited', tenant_scope) == 1 then
    break
  end
  local heap = P .. 'lo:' .. carrier .. ':normal:' .. tenant
  local two = call('ZRANGE', heap, '0', '1')
  local lane = two[1]
  if not lane then
    break
  end
  local weight, campaign, scopes = string.match(call('HGET', P .. 'lane:' .. lane, 'plan') or '', LANE_PLAN)
  if not weight or limits and scopes ~= '' then
    break -- several carriers
  end
  local id = call('LPOP', Q .. lane)
  if not id then
    break
  end
  local fence = epoch * 4294967296 + call('INCRBY', P .. 'fence', '1')
  local next_text, here_scope = format('%d', slot + step), 'switch:' .. switch
  local slot_text = format('%d', slot)
  local text = format('%d ', fence) .. carrier .. ' ' .. lane .. ' ' .. switch .. format(' %d ', now) .. slot_text .. ' '
    .. next_text .. ' ' .. tenant_scope .. ',' .. own .. ',' .. here_scope .. ',global'
  if scopes ~= '' then
    text = text .. ',' .. scopes
  end
  if not is_attempt(id) or call('SETNX', P .. 'lease:' .. id, text) == 0 then
    call('SREM', P .. 'in', id) -- (as in pop)
    call('DECR', P .. 'fence')
    break
  end

  -- What it is charged, and where it counts.
  vt = vt + 1 / weight
  local vt_text = exact(vt)
  local place = off == '0' and vt_text or exact(vt + off)
  call('HSET', P .. 'vt:normal', tenant, vt_text, here, off .. ' ' .. place)
  call('ZADD', order, 'XX', place, tenant)
  if two[2] then
    call('ZINCRBY', heap, exact(1 / campaign), lane)
  end
  call('ZADD', held, format('%d', now + lease_us), id)
  call('ZADD', P .. 'out:' .. own, slot_text, id)
  call('ZADD', P .. 'popped', format('%d', now + popped_us), id)
  call('HINCRBY', P .. 'held', tenant_scope, '1')
  call('HINCRBY', P .. 'held', here_scope, '1')
  call('HINCRBY', P .. 'held', 'global', '1')
  if scopes ~= '' then
    for scope in string.gmatch(scopes, '[^,]+') do
      call('HINCRBY', P .. 'held', scope, '1')
    end
  end
  local later, later_text = slot + step, next_text
  if later < now + lead then
    later, later_text = now + lead, format('%d', now + lead)
  end
  local line, mine = turn_after(turns, switch, false, later, later_text, now, lead, math.max(step, margin))
  local present = score > (clk2 or 0) + 0 and first[2] or clk2 or '0'
  if due then
    call('HSET', ckey, 'tat', next_text, 'turns', line, 'clk2', present, 'floor', format('%d', slot))
  else
    call('HSET', ckey, 'tat', next_text, 'turns', line, 'clk2', present)
  end
  if now - (asked or 0) > LOOK_US or now < (asked or 0) + 0 then
    call('HSET', ckey, 'asked', format('%d', now))
  end
  do
    return { 'more', math.max(1, math.ceil(mine - now - lead - margin)), epoch, 1, lane, 1, slot - now, 0, fence, id }
  end
until true
