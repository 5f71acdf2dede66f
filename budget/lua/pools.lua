-- Every pool that has seats. Returns for each: name, how many are there, free, held, busy; and how many calls are owed one.
local now, found = clock_us(), {}
for _, pool in ipairs(call('SMEMBERS', P .. 'pools')) do
  local all, count = P .. 'seats:' .. pool, { free = 0, held = 0, busy = 0, away = 0 }
  call('ZREMRANGEBYSCORE', P .. 'free:' .. pool, '-inf', whole(now - 600000000))
  call('ZREMRANGEBYSCORE', all, '-inf', whole(now - 600000000))
  local there = call('ZRANGE', all, '(' .. whole(now), '+inf', 'BYSCORE')
  for _, name in ipairs(there) do
    local state = call('HGET', P .. 'seat:' .. pool .. '/' .. name, 'state')
    if state then
      count[state] = count[state] + 1
    end
  end
  for _, word in ipairs({ pool, #there, count.free, count.held, count.busy,
    call('SCARD', P .. 'owed:seats:' .. pool) + call('SCARD', P .. 'owed:seats:' .. pool .. ':at_answer') }) do
    found[#found + 1] = word
  end
end
return found
