-- Scopes that limit nothing any more. ARGV: scopes. What is held in them goes on being released as it was. A carrier's
-- pacing is kept until every window has passed, should it come back; any other scope rests when it does.
local KEPT_S = 3600
for _, scope in ipairs(ARGV) do
  local key = scope_key(scope)
  local carrier = string.match(scope, '^carrier:(.*)')
  for _, field in ipairs(call('HKEYS', key)) do
    if not (carrier and (field == 'tat' or field == 'seen')) then
      call('HDEL', key, field)
    end
  end
  if carrier then
    call('EXPIRE', key, KEPT_S)
    call('SREM', P .. 'carriers', carrier)
  end
  limit(scope, false)
  wake(scope)
end
call('PUBLISH', P .. 'wake', '*')
return #ARGV
