-- A lease that cannot be read (not an attempt's id, or no fence): whoever wrote it, it holds no channel. ARGV: carrier, id.
for _, scope in ipairs(trunk_scopes(ARGV[1])) do
  call('ZREM', P .. 'held:' .. scope, ARGV[2])
end
call('ZREM', P .. 'held:global', ARGV[2])
call('ZREM', P .. 'popped', ARGV[2])
call('DEL', P .. 'lease:' .. ARGV[2])
return 1
