-- Puts attempts at the back of their lanes. Idempotent: one that is in a lane already, or popped, or leased, is left alone.
-- ARGV: iso time, job data, job timeout s, result ttl s, window (0: none), most (0: no bound), then attempt, lane pairs. With a
-- window, nothing goes into a lane that is longer, or that has older calls waiting in Postgres (`overflow`): those come
-- first, and the feeder brings this one after them; nor into any while all lanes together hold `most`. Returns the attempts
-- that were not laned.
local left, touched, lengths = {}, {}, {}
local window, most = tonumber(ARGV[5]), tonumber(ARGV[6])
for i = 7, #ARGV, 2 do
  local id, lane = ARGV[i], ARGV[i + 1]
  if call('EXISTS', P .. 'lease:' .. id) == 0 and call('SISMEMBER', P .. 'in', id) == 0 then
    local room = true
    if window > 0 then
      lengths[lane] = lengths[lane] or (call('SISMEMBER', P .. 'overflow', lane) == 1 and window or call('LLEN', Q .. lane))
      room = lengths[lane] < window and (most == 0 or call('SCARD', P .. 'in') < most)
    end
    if room then
      call('SADD', P .. 'in', id)
      write_job(id, lane, ARGV[1], ARGV[2], ARGV[3], ARGV[4])
      local length = call('RPUSH', Q .. lane, id)
      touched[lane] = touched[lane] or length
      lengths[lane] = (lengths[lane] or 0) + 1
    else
      if call('SADD', P .. 'overflow', lane) == 1 then
        call('PUBLISH', P .. 'wake', 'refill')
      end
      left[#left + 1] = id
    end
  end
end
for lane, length in pairs(touched) do
  call('SADD', 'rq:queues', Q .. lane)
  activate(lane, length == 1 and clock_us() or nil)
end
return left
