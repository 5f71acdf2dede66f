-- Attempts that are nowhere: no lease, and not in their lane, whatever the set of laned ids says. They leave that set, so
-- that a push adds them. Walks the whole lane for each one that is missing: only for those that a cheaper look did not
-- find. ARGV: attempt, lane pairs. Returns the missing.
local gone = {}
for i = 1, #ARGV, 2 do
  local id, lane = ARGV[i], ARGV[i + 1]
  if call('EXISTS', P .. 'lease:' .. id) == 0 and not call('LPOS', Q .. lane, id) then
    call('SREM', P .. 'in', id)
    call('LREM', Q .. lane .. ':intermediate', 0, id) -- a plain RQ worker took it, and died
    gone[#gone + 1] = id
  end
end
return gone
