-- Forgets lanes that hold nothing. ARGV: lanes. One that was filled meanwhile stays; a forgotten one that is filled again
-- comes back by itself (push and RQ name it, the feeder states it). Returns how many were forgotten.
local forgotten = 0
for _, lane in ipairs(ARGV) do
  if call('LLEN', Q .. lane) == 0 then
    local conf = call('HMGET', P .. 'lane:' .. lane, 'carriers', 'class', 'tenant')
    for _, s in ipairs(servings(conf[1])) do
      forget_lane(s.carrier, conf[2], conf[3], lane)
    end
    if conf[1] then
      forget_tenant(conf[2], conf[3])
    end
    call('DEL', P .. 'lane:' .. lane)
    call('SREM', P .. 'unlaned', lane)
    call('SREM', P .. 'overflow', lane)
    call('SREM', 'rq:queues', Q .. lane)
    forgotten = forgotten + 1
  end
end
return forgotten
