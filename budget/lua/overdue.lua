-- Attempts popped and not claimed by their deadline; Postgres knows what became of them. One granted later than now was so
-- by a clock that has stepped back since: its time begins again. ARGV: now us, limit. Returns attempt, fence, ...
local now, found = tonumber(ARGV[1]), {}
local popped = call('ZRANGE', P .. 'popped', 0, -1, 'WITHSCORES')
for i = 1, #popped, 2 do
  local id, deadline = popped[i], tonumber(popped[i + 1])
  local lease = is_attempt(id) and read_lease(id)
  if not lease then
    call('ZREM', P .. 'popped', id)
  elseif lease.at > now then
    call('SET', P .. 'lease:' .. id, lease_text(lease.fence, lease.carrier, lease.lane, lease.switch, now, lease.slot,
      lease.tat, lease.scopes))
    call('ZADD', P .. 'popped', now + deadline - lease.at, id)
  elseif deadline <= now and #found < 2 * tonumber(ARGV[2]) then
    found[#found + 1] = id
    found[#found + 1] = lease.fence
  end
end
return found
