-- What the health of a carrier allows: ok, stopped, or probing with so many counted calls, one each so many us. An
-- operator's pause is another field and stays above it. ARGV: carrier, state, why, probes ('': as many as are left), us between
-- them, share of its rate (below 1: no more than that now, and back over so many us), that us. Returns 1 when the state changed.
local now = clock_us()
local key = scope_key('carrier:' .. ARGV[1])
local v = call('HMGET', key, 'state', 'factor', 'factor_at', 'recover')
local before = v[1] or 'ok'
call('HSET', key, 'state', ARGV[2], 'why', ARGV[3], 'special', '1')
if ARGV[4] ~= '' then
  call('HSET', key, 'probes', ARGV[4], 'probe_us', ARGV[5])
  if before ~= ARGV[2] then
    call('HSET', key, 'probe_at', whole(now))
  end
end
local share = tonumber(ARGV[6])
if share < 1 then
  local present = 1
  if v[2] and v[2] ~= '' then
    present = returning(tonumber(v[2]), tonumber(v[3]), now, tonumber(v[4]))
  end
  if share < present then
    call('HSET', key, 'factor', exact(share), 'factor_at', whole(now), 'recover', ARGV[7])
  end
end
if before ~= ARGV[2] or (ARGV[4] ~= '' and ARGV[4] ~= '0') then
  call('PUBLISH', P .. 'wake', ARGV[1] .. ' * 0')
end
return before ~= ARGV[2] and 1 or 0
