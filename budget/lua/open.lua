-- Opens an epoch. Each carrier's first slot lies one window plus jitter ahead, so whatever an earlier life of the budget
-- granted has left the carrier's window. ARGV: epoch, run id, then carrier, hold us pairs.
local now = clock_us()
for i = 3, #ARGV, 2 do
  redis.call('SET', P .. 'tat:' .. ARGV[i], string.format('%.0f', now + tonumber(ARGV[i + 1])))
end
redis.call('SET', P .. 'run_id', ARGV[2])
redis.call('SET', P .. 'epoch', ARGV[1])
redis.call('PUBLISH', P .. 'wake', 'epoch')
return 1
