-- Forgets lanes that hold nothing. ARGV: lanes. One that was filled meanwhile stays; a forgotten one that is filled again
-- comes back by itself (push and RQ name it, the feeder states it). Returns how many were forgotten.
local forgotten = 0
for _, lane in ipairs(ARGV) do
  if redis.call('LLEN', Q .. lane) == 0 and redis.call('LLEN', Q .. lane .. ':intermediate') == 0 then
    local carriers = redis.call('HGET', P .. 'lane:' .. lane, 'carriers') or ''
    for carrier in string.gmatch(carriers, '[^,]+') do
      redis.call('ZREM', P .. 'lanes:' .. carrier, lane)
    end
    redis.call('DEL', P .. 'lane:' .. lane)
    redis.call('SREM', P .. 'unlaned', lane)
    redis.call('SREM', 'rq:queues', Q .. lane)
    forgotten = forgotten + 1
  end
end
return forgotten
