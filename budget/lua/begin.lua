-- A rebuild begins: from here on nothing is granted. ARGV: the epoch to be opened; the open epoch and the rebuild under way
-- that the caller saw before it took its number ('' for none). Returns 0 when either has changed since: then another
-- leader came later, and this Redis is its to rebuild. An open epoch that is simply gone (another server) is no objection.
local open = call('GET', P .. 'epoch') or ''
local under_way = call('GET', P .. 'rebuilding') or ''
if (open ~= '' and open ~= ARGV[2]) or (under_way ~= '' and under_way ~= ARGV[3]) then
  return 0
end
call('DEL', P .. 'epoch')
call('SET', P .. 'rebuilding', ARGV[1])
return 1
