-- Asked on every new connection: is this the Redis that opened the epoch? If not (restart, old file, failover), nothing is
-- granted until the leader has rebuilt the budget. ARGV: run id of the server just reached. Returns 0 or 1.
local known = call('GET', P .. 'run_id')
if known and known ~= ARGV[1] then
  call('DEL', P .. 'epoch', P .. 'run_id')
  return 0
end
return 1
