-- What waits in these lanes is thrown out: canceled, and about to be ended in Postgres. ARGV: how many ids at most, lanes...
-- Returns how many were thrown out; fewer than asked for means that the lanes are empty.
local most, dropped = tonumber(ARGV[1]), 0
for i = 2, #ARGV do
  while dropped < most do
    local ids = call('LPOP', Q .. ARGV[i], math.min(500, most - dropped))
    if not ids then
      break
    end
    call('SREM', P .. 'in', unpack(ids))
    for _, id in ipairs(ids) do
      call('DEL', 'rq:job:' .. id)
    end
    dropped = dropped + #ids
  end
end
return dropped
