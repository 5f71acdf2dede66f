-- What holds for every call of this carrier from this switch.
local factor, factor_at, recover, cap, cap_at, state, promote, probe_at, probe_us, probes
if special then
  factor, factor_at, recover, cap, cap_at, state, promote, probe_at, probe_us, probes =
    unpack(seldom().read_special(carrier, now))
end
local trunk = as_scope(own, now, true, most, interval, paused, tat, seen, gap, resting, factor, factor_at, recover, cap, cap_at,
  reserved)

-- The scopes that limit it (`shared`), and where else it counts.
local here, shared, counted, counted_text = 'switch:' .. switch, { trunk }, nil, nil
if more ~= '' then
  counted, counted_text = split(more), own .. ',' .. more .. ',' .. here .. ',global'
  for i, scope in ipairs(counted) do
    shared[i + 1] = read_scope(scope, now, true)
  end
  counted[#counted + 1], counted[#counted + 2] = here, 'global'
  overdue = 1 -- perhaps there
else
  counted, counted_text = { here, 'global' }, own .. ',' .. here .. ',global'
end
local on_its_side = #shared
if special or overdue > 0 then
  for i = 1, on_its_side do
    seldom().reckon(shared[i], late, now)
  end
end
if limits then
  if string.find(limits, ',' .. here .. ',', 1, true) then
    shared[#shared + 1] = read_scope(here, now, false)
  end
  if string.find(limits, ',global,', 1, true) then
    shared[#shared + 1] = read_scope('global', now, false)
  end
  limits = string.find(limits, ',lanes,', 1, true)
end

-- The earliest slot that all of these allow, and which of them it is that makes it late.
local function next_slot(scopes, slot)
  local slowest
  for i = 1, #scopes do
    local s = scopes[i]
    if s.step and s.tat > slot then
      slot, slowest = s.tat, s.name
    end
  end
  return slot, slowest
end
local function full(scopes)
  for i = 1, #scopes do
    local s = scopes[i]
    if s.paused or (s.left and s.left <= 0) then -- (as is_full)
      return s
    end
  end
  return nil
end

if trunk.paused or state == 'stopped' then
  seldom().pass_on(shared)
  return { trunk.paused and 'paused' or 'stopped', -1, epoch, 0 }
end

-- Work that waited for time: scopes whose rate allows the next call, urgent calls beyond their tenant's cap.
if timed_next and timed_next <= now then
  timed_next = seldom().wake_timed(now)
end
if promote and promote ~= '' and (promote + 0 <= now or promote + 0 > now + lead + horizon + CAPPED_US) then
  seldom().promote(carrier, promote + 0 <= now and whole(now) or '+inf')
end

-- What the following functions share. Of tenants and lanes: as this script has read and changed them. Fields that come later:
-- `skipped` (tenants left to another carrier, this time), `limit` and `soonest` (of what was passed over: its name, when to look
-- again), `moved_back`, `fence` (the last one given). `limits`: some scope of the lane's side limits something.
local g = {
  carrier = carrier, now = now, lead = lead, want = want, epoch = epoch, limits = limits, shared = shared, trunk = trunk,
  urgent = clk1 or 0, normal = clk2 or 0, bulk = clk3 or 0, -- each order's present; text until it is compared
  floor = (floor_at or 0) + 0, floor_share = floor_share + 0, urgent_share = urgent_share + 0,
  heads = {}, lanes = {}, scopes = {}, -- by class: whose turn it is; by name
  lease_switch = ' ' .. switch .. ' ' .. whole(now) .. ' ', lease_after = ',' .. counted_text, -- words of every lease
  taken = 0, held = {}, out = {}, popped = {}, reply = { 'empty', -1, epoch, 0 }, 
  lease_until = whole(now + lease_us), popped_until = whole(now + popped_us),
  run_till = state ~= 'probing' and now + reach, -- a run of permits of one lane ends there
}
