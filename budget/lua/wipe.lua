-- Removes keys for a rebuild, as long as that rebuild is the one under way. ARGV: its epoch, keys... Returns 1, or 0 when
-- it is not (a later leader has begun, or Redis has forgotten everything once more).
if call('GET', P .. 'rebuilding') ~= ARGV[1] then
  return 0
end
for i = 2, #ARGV do
  call('UNLINK', ARGV[i])
end
return 1
