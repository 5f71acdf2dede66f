-- A lease that cannot be read (not an attempt's id, or no fence): whoever wrote it, it holds no channel. ARGV: carrier, id.
-- What has an attempt's id was granted or adopted, so it is counted elsewhere too.
if call('ZREM', P .. 'held:carrier:' .. ARGV[1], ARGV[2]) == 1 and is_attempt(ARGV[2]) then
  local scopes = trunk_scopes(ARGV[1])
  scopes[1] = 'global'
  for _, scope in ipairs(scopes) do
    free(scope, ARGV[2])
  end
end
call('ZREM', P .. 'popped', ARGV[2])
call('DEL', P .. 'lease:' .. ARGV[2])
return 1
