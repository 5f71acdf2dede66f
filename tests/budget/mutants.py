"""Planted bugs: exact texts of the Lua source and what stands there instead, one for each trap of the design."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from budget import scripts
from tests.budget import (
    test_backlog,
    test_batches,
    test_bulk,
    test_clock,
    test_epoch,
    test_ghosts,
    test_inbound,
    test_late,
    test_leases,
    test_live_limits,
    test_next_seat,
    test_order,
    test_permits,
    test_scopes,
    test_seat_reserve,
    test_seats,
    test_tiers,
    test_wakes,
)
from tests.budget.bench import TENANT, VirtualBench

#: Half of the callers' clocks are a second ahead.
SKEWED = "local t = call('TIME')\n  t[2] = t[2] + call('INCR', P .. 'skew') % 2 * 1000000"


@dataclass(frozen=True)
class Mutant:
    """A bug in ``file``; ``caught`` is the test that must fail, None: the state machine, soonest from ``seed`` on."""

    name: str
    file: str
    old: str
    new: str
    caught: Callable[[VirtualBench], None] | None = None
    seed: int = 0

    def source(self) -> Callable[..., tuple[str, str]]:
        """What stands for :func:`budget.scripts.source`. ValueError when the text is not there exactly once."""
        text = scripts.part(self.file)
        if text.count(self.old) != 1:
            raise ValueError(f"mutant {self.name!r}: {self.file}.lua holds its text {text.count(self.old)} times")
        planted = text.replace(self.old, self.new)

        def read(name: str) -> str:
            if name == "grant/plain" and self.file.startswith(("grant", "scope")) and name != self.file:
                return ""  # it would hide a bug of what decides otherwise; test_plain.py holds the two against each other
            return planted if name == self.file else scripts.part(name)

        @cache
        def mutated(name: str, *, virtual: bool = False) -> tuple[str, str]:
            return scripts.assemble(name, read, virtual=virtual)

        return mutated


MUTANTS = [
    # Each attempt once, and none lost
    Mutant("double push", "push", " and call('SISMEMBER', P .. 'in', id) == 0 then", " then", seed=1),
    Mutant("push of what is under way", "push", "call('EXISTS', P .. 'lease:' .. id) == 0 and ", "", seed=1),
    Mutant("stale grant replay", "grant/take", "call('SETNX', P .. 'lease:' .. id, text) == 1",
           "call('SET', P .. 'lease:' .. id, text)",
           lambda virtual: test_permits.test_what_is_under_way_is_not_granted_again(virtual)),
    Mutant("dropped duplicate stays locked out", "grant/take",
           "    call('SREM', P .. 'in', id) -- not", "    -- not",
           lambda virtual: test_leases.test_what_is_no_attempts_id_is_dropped_wherever_it_stands(virtual, "x" * 36)),
    Mutant("requeue to the back", "requeue", "call('LPUSH'", "call('RPUSH'", seed=1),
    Mutant("overflow ignored by push", "push", "call('SISMEMBER', P .. 'overflow', lane) == 1 and window or ", "",
           lambda virtual: test_backlog.test_behind_older_calls_no_new_one_is_laned_but_the_feeders(virtual)),
    Mutant("window ignored by push", "push", "room = lengths[lane] < window", "room = lengths[lane] < window + 1", seed=7),
    Mutant("given back before its time", "overdue", "elseif deadline <= now and", "elseif"),
    # Fences
    Mutant("release of another's grant", "lease", "if not lease or lease.fence ~= fence then", "if not lease then", seed=1),
    Mutant("claim of another's grant", "claimed", "if not lease or lease.fence ~= ARGV[2] then", "if not lease then",
           seed=2),
    Mutant("fences that do not grow", "grant/take",
           "call('INCRBY', P .. 'fence', g.want == 1 and '1' or whole(g.want)) - g.want", "0", seed=1),
    # Counts
    Mutant("expired lease frees a channel", "scope", "call('ZCARD', P .. 'held:' .. scope)",
           "call('ZCOUNT', P .. 'held:' .. scope, now, '+inf')", seed=1),
    Mutant("count checked after the pop", "grant", "local stop = full(shared)", "local stop = g.taken > 0 and full(shared)",
           seed=1),
    Mutant("batch counts the lane's scopes once", "grant/take", "        count_in(s, 1, slot)\n",
           "        s.left = s.left\n",
           lambda virtual: test_batches.test_no_count_is_passed_within_a_batch(virtual)),
    Mutant("account not checked", "grant/here", "ipairs(counted)", "ipairs({})", seed=3),
    Mutant("switch not checked", "grant/here", "read_scope(here, now", "read_scope('switch:', now", seed=1),
    Mutant("linger forgotten", "scope", "      left = left - lingering\n", "", seed=7),
    Mutant("adopted call counts at the trunk alone", "adopt", "scopes_of(ARGV[3], ARGV[4], ARGV[5])",
           "{ 'carrier:' .. ARGV[3] }", seed=1),
    # Calls that come in
    Mutant("reserve given away", "scope", "left = left - math.max(0, reserved -", "left = left - 0 * math.max(0, reserved -",
           lambda virtual: test_inbound.test_what_is_reserved_no_call_of_ours_takes(virtual)),
    Mutant("reserve given away in the plain case", "grant/plain", " - reserved <= 1", " <= 1",
           lambda virtual: test_inbound.test_what_is_reserved_no_call_of_ours_takes(virtual)),
    Mutant("reserve counted twice", "scope", "(call('HGET', P .. 'held', 'in:' .. scope) or 0)", "0",
           lambda virtual: test_inbound.test_a_reserve_that_is_used_is_not_kept_besides(virtual)),
    Mutant("reserve kept from those it is for", "admit",
           "'cap_at')\n  local s = as_scope(scope, now, theirs, unpack(v, 1, 12))",
           "'cap_at', 'reserved')\n  local s = as_scope(scope, now, theirs, unpack(v, 1, 13))",
           lambda virtual: test_inbound.test_dialed_and_come_in_are_never_more_than_the_limit(virtual)),
    Mutant("call that came in goes on counting by itself", "lease", "count_inbound(lease.lane, lease.scopes, '-1')", "",
           lambda virtual: test_inbound.test_it_counts_everywhere_until_it_is_released(virtual)),
    Mutant("call that comes in is admitted over the count", "admit", "s.left and s.left <= 0", "s.left and s.left < 0",
           lambda virtual: test_inbound.test_a_call_that_comes_in_takes_any_place(virtual)),
    Mutant("admitted twice", "admit", "if known then", "if false then",
           lambda virtual: test_inbound.test_asked_again_it_is_the_same_lease(virtual)),
    Mutant("adopted call that came in uses no reserve", "lease", "  count_inbound(lane, scopes, '1')\n", "",
           lambda virtual: test_inbound.test_an_adopted_one_uses_the_reserve(virtual)),
    Mutant("paused ignored", "scope", "paused = paused == '1' or", "paused =", seed=3),
    # Rates
    Mutant("early write: the lead is left out", "grant", "slot, slowest = next_slot(shared, now + lead)",
           "slot, slowest = next_slot(shared, now)"),
    Mutant("early write after a pause: a stale now", "lib", "return t[1] * 1000000 + t[2]",
           "return math.floor((t[1] * 1000000 + t[2]) / 1000000) * 1000000", seed=3),
    Mutant("clock from the client", "lib", "local t = call('TIME')", SKEWED, seed=1),
    Mutant("burst of 2", "grant/here", "if s.step and s.tat > slot then\n      slot, slowest = s.tat, s.name",
           "if s.step and s.tat - s.step > slot then\n      slot, slowest = s.tat - s.step, s.name", seed=1),
    Mutant("jitter left out of the interval", "scope", "step = interval + 0", "step = interval * 100 / 102", seed=1),
    Mutant("clock step pays the debt", "scope", "tat = now + math.max(0, tat - seen)", "tat = now", seed=5),
    Mutant("clock step frees what lingers", "scope", "lingering[i + 1] - seen)", "0)",
           lambda virtual: test_clock.test_lingering_channels_count_on_as_long_as_they_had_to(
               virtual, -100 * test_clock.MINUTE)),
    Mutant("lowered limit without rest", "scopes", "if is and resting > 0 then", "if false then", seed=5),
    Mutant("lower limit over none without rest", "scopes", "or (old > 0 and new <= old)", "or new <= old or old == 0",
           seed=2),
    Mutant("rebuild without rest", "open", "whole(now + tonumber(ARGV[i + 1]))", "whole(now)", seed=3),
    Mutant("rest that a refused slot undoes", "changes", "math.max(tat + 1, ", "math.max(tat, ",
           lambda virtual: test_live_limits.test_a_slot_that_was_granted_before_a_lowered_rate_is_not_given_back(virtual)),
    Mutant("slot given back below later ones", "refuse", "settled(own, now) ~= lease.tat", "not settled(own, now)", seed=11),
    Mutant("slot given back that has passed", "refuse", "lease.slot <= now or ", ""),
    Mutant("refused channel burns a slot", "grant/choose", "  seldom().block(g.carrier, item, s.name, at)\n",
           "  seldom().block(g.carrier, item, s.name, at)\n"
           "  call('HSET', scope_key(g.trunk.name), 'tat', whole(slot + (g.trunk.step or 0)))\n",
           lambda virtual: test_scopes.test_a_refused_channel_burns_no_slot(virtual)),
    # Epoch and health
    Mutant("epoch compare missing", "grant/ask", "local epoch, timed_next, limits = known[1],",
           "local epoch, timed_next, limits = known[1] or '1',"),
    Mutant("overtaken leader begins", "begin", "if (open ~= '' and open ~= ARGV[2])", "if false and (open ~= '')",
           lambda virtual: test_epoch.test_who_was_overtaken_before_it_began_does_not_begin(virtual)),
    Mutant("overtaken leader opens", "open", "if call('GET', P .. 'rebuilding') ~= ARGV[1] then", "if false then",
           lambda virtual: test_epoch.test_who_was_overtaken_in_the_middle_neither_wipes_nor_opens(virtual)),
    Mutant("probes not counted", "grant", "'probes', whole(probes))", "'probes', whole(probes + 1))"),
    Mutant("stopped ignored", "grant/here", "if trunk.paused or state == 'stopped' then", "if trunk.paused then"),
    # Nobody waits for what is there
    Mutant("lost wake-up at a release", "lease", "      wake(scope)\n", "",
           lambda virtual: test_wakes.test_room_on_the_lanes_side_brings_the_lane_back_at_every_carrier(
               virtual, "agents:team", "release")),
    Mutant("lost wake-up at a raised limit", "scopes", "    wake(scope)\n", "",
           lambda virtual: test_live_limits.test_a_raised_count_brings_back_what_waited(virtual, f"tenant:{TENANT}")),
    Mutant("lost wake-up of a pump", "lease", "    wake_pumps(scope, 1, after)\n", "",
           lambda virtual: test_wakes.test_one_place_wakes_one_pump(virtual)),
    Mutant("a place is not passed on", "grant", "else\n  seldom().pass_on(shared)\nend", "end",
           lambda virtual: test_wakes.test_a_woken_pump_that_does_not_take_the_place_wakes_the_next(virtual, "empty")),
    Mutant("woken and still blocked", "order",
           "    call('HDEL', P .. 'blocked:' .. carrier, item)\n    local class", "    local class"),
    Mutant("blocked and in no wait set", "order", "  call('SADD', P .. 'wait:' .. scope, carrier .. ' ' .. item)\n", ""),
    Mutant("waits for time for ever", "order", "  call('ZADD', P .. 'timed', 'LT', whole(at), scope)\n",
           "  call('ZADD', P .. 'timed', 'LT', whole(at + 1000000000), scope)\n",
           lambda virtual: test_wakes.test_a_rate_brings_its_lanes_back_by_time_alone(virtual)),
    Mutant("requeued and in no order", "requeue", "activate(lane, length == 1 and now or nil)\n", "",
           lambda virtual: test_permits.test_a_call_put_back_into_a_lane_that_ran_empty_is_served(virtual)),
    Mutant("too early a pump loses its turn", "grant/ask", "elseif not keeps or not mine or", "elseif true or",
           lambda virtual: test_wakes.test_a_pump_that_comes_too_early_keeps_its_turn(virtual)),
    # The fair order
    Mutant("bulk ahead of urgent", "grant/take", "= bulk_first(g, slot) and 'bulk'", "= head(g, 'bulk') and 'bulk'"),
    Mutant("bulk slots sold ahead of urgent", "grant/take", "if not h and near then", "if not h then",
           lambda virtual: test_order.test_only_urgent_calls_reserve_a_slot_far_ahead(virtual)),
    Mutant("floor of bulk forgotten", "grant/take", "return not head(g, 'urgent') or slot >= g.floor + 2 * turn",
           "return false",
           lambda virtual: test_bulk.test_bulk_has_its_floor(virtual, "normal", 1, 20_000)),
    Mutant("urgent reserves what bulk is due", "grant/take", "return false -- its floor is due",
           "class, h = 'urgent', head(g, 'urgent') -- its floor is due",
           lambda virtual: test_bulk.test_bulk_has_its_floor(virtual, "urgent", 20, 5_000)),
    Mutant("cap of urgent ignored", "grant/take", "if share >= 1 or not step then", "if true then",
           lambda virtual: test_order.test_one_tenants_urgent_calls_have_their_share_while_others_wait(virtual)),
    Mutant("demoted for ever", "grant/seldom", "    enter(carrier, 'urgent', tenant)\n",
           "    enter(carrier, 'normal', '^' .. tenant)\n",
           lambda virtual: test_order.test_beyond_the_cap_they_come_back_when_the_share_allows(virtual)),
    Mutant("no refund", "requeue", "refund(lane, lease.carrier)\n", "",
           lambda virtual: test_order.test_who_did_not_get_its_call_is_next_again(virtual, "requeue")),
    Mutant("credit for idle time", "order", "math.max(vt + off, present)", "(vt + off)",
           lambda virtual: test_order.test_idle_time_is_no_credit(virtual)),
    Mutant("weight ignored", "grant/take", "h.vt = h.vt + lane.step", "h.vt = h.vt + 1",
           lambda virtual: test_order.test_tenants_share_by_weight_and_a_newcomer_waits_its_turn_only(virtual)),
    Mutant("campaign's share ignored", "grant/take", "exact(lane.share)", "exact(1)",
           lambda virtual: test_order.test_ten_campaigns_share_as_weighted_and_ten_tenants_too(virtual)),
    Mutant("debt of another carrier for ever", "grant/seldom", "math.max(h.score, base + LAG)", "math.huge",
           lambda virtual: test_order.test_alone_elsewhere_all_along_still_has_its_share(virtual)),
    Mutant("tier ignored", "grant/seldom", "if s.tier < mine.tier and waited >= 0", "if false and waited >= 0",
           lambda virtual: test_tiers.test_the_better_tier_is_first(virtual)),
    Mutant("deferred for ever", "grant/seldom", "and waited < lane.spill then", "then",
           lambda virtual: test_tiers.test_nobody_is_deferred_for_ever(virtual)),
    Mutant("weights within a tier ignored", "grant/seldom", "tonumber(had[1] or 0) < tonumber(had[2] or 0)", "false",
           lambda virtual: test_tiers.test_calls_are_shared_by_weight_within_a_tier(virtual)),
    # Nothing is left behind
    Mutant("tenants are never forgotten", "prune", "      forget_tenant(conf[2], conf[3])\n", "",
           lambda virtual: test_backlog.test_nothing_of_a_pruned_lane_and_its_tenant_is_left(virtual, "normal", "served")),
    Mutant("what lingered is kept for ever", "changes",
           "    call('ZREMRANGEBYSCORE', P .. 'linger:' .. scope, '-inf', whole(now))\n    call('ZADD'", "    call('ZADD'",
           lambda virtual: test_scopes.test_what_lingered_is_not_kept_for_ever(virtual, None)),
    Mutant("unknown INVITEs forgotten", "grant/here", "    seldom().reckon(shared[i], late, now)\n", "",
           lambda virtual: test_ghosts.test_one_of_unknown_time_takes_a_place_of_every_window(virtual)),
    Mutant("unknown INVITE settled by the sweep", "claimed", "if ARGV[3] == '1' then", "if true then",
           lambda virtual: test_ghosts.test_the_sweeps_word_settles_nothing(virtual)),
    Mutant("settled at once", "claimed", "settle_invite(scope, ARGV[1], now, false)",
           "settle_invite(scope, ARGV[1], now, true)",
           lambda virtual: test_ghosts.test_one_of_unknown_time_takes_a_place_of_every_window(virtual)),
    Mutant("a rest since is forgotten", "hold",
           "rest(scope, settled(scope, now), now, now, math.max(window, tonumber(ARGV[2])))",
           "rest(scope, settled(scope, now) - 1, now, now, 0)",
           lambda virtual: test_leases.test_a_hold_since_keeps_the_slot_spent(far(virtual), 1)),
    Mutant("late ones cost nothing", "leave_out", "left_out(s, now, 1)", "s.tat + 1",
           lambda virtual: test_late.test_it_costs_one_slot(virtual, 20_000)),
    Mutant("late ones cost nothing of what is shared", "leave_out", "ipairs(trunk_scopes(ARGV[1]))",
           "ipairs({ trunk_scopes(ARGV[1])[1] })",
           lambda virtual: test_late.test_what_carriers_share_leaves_one_out_too(virtual)),
    Mutant("no slot left out for what is of unknown time", "changes",
           "s.tat = left_out(s, now, #overdue)", "s.tat = s.tat + 1",
           lambda virtual: test_ghosts.test_one_that_may_leave_at_once_finds_room(virtual, 50)),
    # Seats
    Mutant("the permit frees what a worker took", "seat", "if v[1] == 'held' and v[2] == id then", "if v[2] == id then",
           lambda virtual: test_seats.test_only_the_worker_frees_what_it_took(virtual)),
    Mutant("the worker frees what a permit holds", "seats", "      if state ~= 'held' then\n", "      if true then\n",
           lambda virtual: test_seats.test_only_the_permit_frees_what_it_holds(virtual)),
    Mutant("a held seat stays free", "seat",
           "  call('ZREM', free, name)\n  call('HSET', P .. 'seat:' .. at, 'state', 'held'",
           "  call('HSET', P .. 'seat:' .. at, 'state', 'held'", lambda virtual: test_seats.drive(virtual)),
    Mutant("a lost seat is not given back", "seat_of", "call('HSET', key, 'state', 'away', 'attempt', '')", "key = nil",
           lambda virtual: test_seats.drive(virtual)),
    Mutant("a permit that ends leaves its debt", "seat",
           "  call('SREM', P .. 'owed:' .. scope, id)\n  call('SREM', P .. 'left:'", "  call('SREM', P .. 'left:'",
           lambda virtual: test_seats.test_at_the_answer_more_are_dialed_than_there_are_seats(virtual)),
    Mutant("the shortest way gives no seat", "lane",
           "alone and not string.find(scopes, 'seats:', 1, true) and ARGV", "alone and ARGV",
           lambda virtual: test_seats.test_the_plain_case_gives_no_seat_away(virtual)),
    Mutant("between two callers one is dialed", "seats", "call('SADD', P .. 'left:' .. pool, id)", "lease = nil",
           lambda virtual: test_seat_reserve.test_what_a_worker_frees_before_its_caller_is_booked_out_is_kept(virtual)),
    Mutant("a call that is handed on takes what is for callers", "next_seat",
           "local inbound = string.find(lease.lane, INBOUND) ~= nil", "local inbound = true",
           lambda virtual: test_next_seat.test_what_is_for_callers_is_for_callers(virtual)),
    Mutant("handed on, it keeps its first seat", "moved", "if v[1] == 'held' and v[2] == id then", "if false then",
           lambda virtual: test_next_seat.test_a_seat_that_was_only_held_is_free_at_once(virtual)),
    Mutant("its first worker still says where it is", "moved", "call('HSET', key, 'left', id)", "key = nil",
           lambda virtual: test_next_seat.test_it_has_both_until_the_next_one_takes_over(virtual, heard=False)),
    Mutant("the end frees one of two seats", "seat", "  give_up('next', id, now)\n", "",
           lambda virtual: test_next_seat.test_the_end_of_the_call_gives_both_back(virtual)),
    Mutant("a token is good at every worker", "seats",
           "if attempt ~= '' and not known and used_elsewhere(ARGV[i + 5], worker) then",
           "if false then",
           lambda virtual: test_next_seat.test_a_token_brings_its_call_to_one_worker(virtual)),
]  # fmt: skip


def far(virtual: VirtualBench) -> VirtualBench:
    """Slots lie far ahead."""
    virtual.settings = virtual.settings.model_copy(update={"slot_lead_ms": 3_600_000.0, "slot_horizon_ms": 36_000_000})
    return virtual
