-- Opens an epoch. Each scope's first slot lies one window plus jitter ahead, so whatever an earlier life of the budget
-- granted has left the carrier's window. ARGV: epoch, run id, then scope, hold us pairs. Returns 0 when it is not the
-- rebuild under way: a later leader's epoch is never replaced, and leases that were forgotten meanwhile are not missed.
if call('GET', P .. 'rebuilding') ~= ARGV[1] then
  return 0
end
local now = clock_us()
for i = 3, #ARGV, 2 do
  call('HSET', scope_key(ARGV[i]), 'tat', whole(now + tonumber(ARGV[i + 1])), 'seen', whole(now))
end
call('SET', P .. 'run_id', ARGV[2])
call('SET', P .. 'epoch', ARGV[1])
call('DEL', P .. 'rebuilding')
call('PUBLISH', P .. 'wake', 'epoch')
return 1
