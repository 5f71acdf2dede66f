-- Permits of one carrier, each with its pop, or nothing at all: every count and rate that a call must obey is checked, the
-- fair next call taken, its slot reserved. What a caller is not granted costs nobody anything. One script in some files: what
-- is asked and what holds for every call (this one), whose turn it is (choose), a permit (take), the permits and what is
-- written of them (../grant); before them what is seldom needed (seldom, built when it is). It runs for every call: what is the
-- same for many permits is read and written once for all of them, and what its functions share is in one table (`g`), because
-- each variable that a function keeps hold of has its price.
-- ARGV: carrier, switch, and as doubles how many at most, lead us, reach us (how far ahead of now calls that are not urgent
-- may reserve), horizon us (urgent ones), lease us, popped deadline us, margin us (a pump comes so long before it must), late
-- us (a permit not acknowledged so long after its slot is one of unknown time).
-- Returns {limit, us until it is worth asking again (-1: when woken), epoch, whether only time has to pass, then for each run of
-- permits: lane, how many, slot of the first in us from now, us between two, fence of the first (the others follow), and the
-- attempts}. The limit names what stopped it: a scope, 'cps', 'order', 'empty', 'paused', 'stopped', 'probing', 'not_ready'.
local carrier, switch = ARGV[1], ARGV[2]
local want, lead, reach, horizon, lease_us, popped_us, margin, late = struct.unpack('<dddddddd', ARGV[3])
local known = call('MGET', P .. 'epoch', P .. 'timed_next', P .. 'limits')
local epoch, timed_next, limits = known[1], known[2], known[3]
if not epoch then
  return { 'not_ready', -1, '', 0 }
end
local now = clock_us()
local own = 'carrier:' .. carrier
local ckey = P .. 's:' .. own
local plan, tat, seen, turns, clk1, clk2, clk3, floor_at, asked, special = unpack(call('HMGET', ckey, 'plan', 'tat', 'seen',
  'turns', 'clk1', 'clk2', 'clk3', 'floor', 'asked', 'special'))
if not plan then
  return { 'not_ready', -1, epoch, 0 }
end
local most, interval, paused, gap, resting, urgent_share, floor_share, reserved, more = string.match(plan, PLAN)
-- How many there are of whom nobody knows when their INVITE leaves.
local overdue = resting ~= '' and resting ~= '0' and call('ZCOUNT', P .. 'out:' .. own, '-inf', whole(now - late)) or 0
timed_next = timed_next and timed_next ~= '' and timed_next + 0

-- Turns. Each pump is told its own next slot, one behind the other, so that of several nobody asks in vain; who misses
-- its turn holds nobody up, because the next one comes for itself anyway. `keeps`: it came too early, and keeps its turn. No
-- `span`: another scope is a moment behind; that is no reason to go behind every other pump of this carrier. Returns the line
-- of turns, and the pump's own.
local function turn_after(turns, switch, keeps, slot, slot_text, now, lead, span)
  local line, mine, latest, own = '', nil, nil, switch .. '='
  if turns and (keeps or string.find(turns, ',', 1, true) or string.sub(turns, 1, #own) ~= own) then
    for pump, at in string.gmatch(turns, '([^=,]+)=(%d+)') do
      at = at + 0
      if pump == switch then
        mine = at
      elseif at >= now + lead and at < now + 60000000 then
        line = line .. pump .. '=' .. string.format('%d', at) .. ','
        latest = math.max(latest or at, at)
      end
    end
  end
  if not span then
    mine = slot
  elseif not keeps or not mine or mine < slot or mine > now + 60000000 then
    mine = latest and math.max(slot, latest + span) or slot
  end
  return line .. own .. (mine == slot and slot_text or string.format('%d', mine)), mine
end
