-- A lease that cannot be read (not an attempt's id, or no fence): whoever wrote it, it holds no channel. ARGV: carrier, id.
redis.call('ZREM', P .. 'leases:' .. ARGV[1], ARGV[2])
redis.call('ZREM', P .. 'popped', ARGV[2])
redis.call('DEL', P .. 'lease:' .. ARGV[2])
return 1
