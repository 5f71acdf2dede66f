"""Caps at the claim, on real Postgres: however many claims come at once, no cap is exceeded; and what waits comes back."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

import pytest

from calls.caps import Caps
from calls.evidence import State
from store import attempts, caps, prices, tenants
from store.attempts import Claimed, Refused, Wanted
from store.calls import Accepted
from store.prices import Price
from tests.store.conftest import T0, World, at, enterprise
from tests.store.threads import results, together

_numbers = count(30_000_000)
HOUR = timedelta(hours=1)
NOON = T0


@pytest.fixture(autouse=True)
def _priced(world: World) -> Iterator[None]:
    prices.put(world.db, [Price("49", 60_000, 1000, 60)], actor="operator:test")
    yield
    for one in prices.list_prices(world.db):
        prices.remove(world.db, one.prefix, actor="operator:test")


def number() -> str:
    return f"+49151{next(_numbers)}"


def capped(world: World, **changes: Any) -> Caps:
    return caps.set_caps(world.db, world.tenant.id, actor="operator:test", **changes)


def waiting(world: World, **changes: Any) -> Accepted:
    return world.accept(**{"to_number": number(), "expires_at": NOON + timedelta(days=3), **changes})


def dial(world: World, moment: datetime = NOON, **changes: Any) -> str:
    """What became of the claim of a new call: ``claimed``, or the reason that made it wait, or its end."""
    return outcome(world, waiting(world, **changes), moment)


def outcome(world: World, call: Accepted, moment: datetime = NOON) -> str:
    found = world.claim(call.attempt_id, now=moment)
    if isinstance(found, Claimed):
        return "claimed"
    assert found == Refused("rules"), found
    ended = world.call(call.call.id).end_reason
    return ended or rescheduled(world, call)[0]


def rescheduled(world: World, call: Accepted) -> tuple[str, datetime]:
    sql = "SELECT data ->> 'reason', data ->> 'due_at' FROM call_events WHERE call_id = %s AND type = 'attempt.rescheduled'"
    row = world.rows(sql + " ORDER BY id DESC LIMIT 1", call.call.id)[0]
    return row[0], datetime.fromisoformat(row[1])


def talked(world: World, attempt: UUID, seconds: float, moment: datetime = NOON) -> None:
    begun = (moment - T0).total_seconds() + 5
    world.apply(world.answered_end(attempt, begun + seconds, begun), seconds=begun + seconds)


def test_a_tenant_without_caps_leaves_nothing_behind(world: World) -> None:
    assert dial(world) == "claimed"
    for table in ("cap_uses", "cap_days", "cap_prefixes", "tenant_caps"):
        assert world.rows(f"SELECT * FROM {table} WHERE tenant_id = %s", world.tenant.id) == []
    assert caps.used(world.db, world.tenant.id) is None


def test_the_rate_lets_through_what_it_says_and_the_rest_a_minute_later(world: World) -> None:
    capped(world, calls_per_minute=3)
    for seconds in (0, 10, 20):
        assert dial(world, at(seconds)) == "claimed"
    fourth = waiting(world)
    assert outcome(world, fourth, at(30)) == "calls_per_minute"
    assert rescheduled(world, fourth) == ("calls_per_minute", at(60))
    ((due,),) = world.rows("SELECT due_at FROM attempts WHERE id = %s", fourth.attempt_id)
    assert due == at(60)
    assert world.call(fourth.call.id).due_at == at(60)
    assert outcome(world, fourth, at(60)) == "claimed"
    assert dial(world, at(65)) == "calls_per_minute"


def test_a_claim_that_was_given_back_counts_for_nothing(world: World) -> None:
    capped(world, calls_per_minute=1, minutes_per_day=1, number_per_day=1, spend_per_day=61_000)
    call = waiting(world)
    for seconds in (0, 5, 10):
        assert outcome(world, call, at(seconds)) == "claimed"
        assert attempts.unclaim(world.db, call.attempt_id, 1, at(seconds + 1))
    assert dial(world, at(20)) == "claimed"


def test_a_number_is_dialed_so_often_a_day_and_dials_that_reached_nobody_do_not_count(world: World) -> None:
    capped(world, number_per_day=2, time_zone="America/New_York")
    to = number()
    nobody = waiting(world, to_number=to)
    assert outcome(world, nobody) == "claimed"
    world.apply(world.ended(nobody.attempt_id, "NORMAL_TEMPORARY_FAILURE", 1, sip_code=503, disposition="recv_refuse"))
    assert dial(world, at(2), to_number=to) == "claimed"
    assert dial(world, at(3), to_number=to) == "claimed"
    third = waiting(world, to_number=to)
    assert outcome(world, third, at(4)) == "tenant_number_per_day"
    midnight = datetime(2026, 1, 22, 5, tzinfo=UTC)  # in New York
    assert rescheduled(world, third)[1] == midnight
    assert dial(world, at(5)) == "claimed"
    assert outcome(world, third, midnight) == "claimed"


def test_minutes_count_what_was_talked_and_what_calls_on_the_line_may_talk(world: World) -> None:
    capped(world, minutes_per_day=3, reserve_s=60)
    first, second = waiting(world), waiting(world)
    assert outcome(world, first) == outcome(world, second) == "claimed"  # 60 s each, reserved
    talked(world, first.attempt_id, 20)
    third = waiting(world)
    assert outcome(world, third, at(30)) == "claimed"  # 20 + 60 + 60
    fourth = waiting(world)
    assert outcome(world, fourth, at(31)) == "minutes_per_day"
    assert rescheduled(world, fourth)[1] == at(46)  # calls are on the line, which may not need what they have reserved
    talked(world, second.attempt_id, 0)
    talked(world, third.attempt_id, 100, at(30))
    assert outcome(world, fourth, at(150)) == "claimed"  # 20 + 0 + 100 + 60
    fifth = waiting(world)
    assert outcome(world, fifth, at(151)) == "minutes_per_day"
    talked(world, fourth.attempt_id, 60, at(150))
    assert outcome(world, fifth, at(250)) == "minutes_per_day"
    assert rescheduled(world, fifth)[1] == datetime(2026, 1, 22, tzinfo=UTC)
    found = caps.used(world.db, world.tenant.id, at(260))
    assert found is not None
    assert (found.seconds, found.running) == (180, 0)


def test_a_call_that_talks_longer_than_is_reserved_counts_with_what_it_talks(world: World) -> None:
    capped(world, minutes_per_day=10, reserve_s=30)
    long = waiting(world)
    assert outcome(world, long) == "claimed"
    world.apply(world.seen(long.attempt_id, State.IN_PROGRESS, 5), seconds=5)
    for seconds, counted in ((6, 30), (34, 30), (35, 30), (305, 300)):
        found = caps.used(world.db, world.tenant.id, at(seconds))
        assert found is not None
        assert found.seconds == counted, seconds


def test_spend_goes_by_the_price_at_the_dial_in_whole_increments(world: World) -> None:
    capped(world, spend_per_day=200_000, reserve_s=60)
    first, second, unsent = waiting(world), waiting(world), waiting(world)
    assert outcome(world, first) == "claimed"  # 1,000 + 60,000 a minute
    prices.put(world.db, [Price("49151", 120_000, 0, 1)], actor="operator:test")
    assert outcome(world, second) == "claimed"  # 120,000 a minute, by the second
    talked(world, first.attempt_id, 61)
    talked(world, second.attempt_id, 30.2)
    found = caps.used(world.db, world.tenant.id, at(100))
    assert found is not None
    assert found.micros == 1000 + 2 * 60_000 + 31 * 2000
    assert outcome(world, unsent, at(100)) == "spend_per_day"
    capped(world, spend_per_day=400_000)
    unsent = waiting(world)
    assert outcome(world, unsent, at(101)) == "claimed"
    world.apply(world.ended(unsent.attempt_id, "never_sent", 102, local=True), seconds=102)
    after = caps.used(world.db, world.tenant.id, at(103))
    assert after is not None
    assert after.micros == found.micros


def test_settled_days_say_the_same_as_the_calls_they_were_made_of(world: World) -> None:
    capped(world, minutes_per_day=1000, spend_per_day=10**9, reserve_s=0)
    for n in range(6):
        call = waiting(world)
        assert outcome(world, call, at(n * 200)) == "claimed"
        talked(world, call.attempt_id, 10 * n + 0.5, at(n * 200))
    before = caps.used(world.db, world.tenant.id, at(1300))
    assert dial(world, at(3 * 3600)) == "claimed"  # everything before it is settled under its turn
    after = caps.used(world.db, world.tenant.id, at(3 * 3600))
    assert before is not None
    assert after is not None
    assert before.seconds == sum(10 * n + 1 for n in range(6))
    assert (after.seconds, after.micros - 1000) == (before.seconds, before.micros)
    ((day, seconds),) = world.rows("SELECT day, seconds FROM cap_days WHERE tenant_id = %s", world.tenant.id)
    assert (day, seconds) == (date(2026, 1, 21), before.seconds)


def test_a_claim_looks_at_what_was_used_every_two_seconds_at_most(world: World) -> None:
    """In between it takes the sums as they are, however many uses there are."""
    capped(world, minutes_per_day=1000, spend_per_day=10**9, reserve_s=60)
    calls = [waiting(world) for _ in range(3)]
    for one in calls:
        assert outcome(world, one) == "claimed"
        talked(world, one.attempt_id, 1)

    def sums() -> tuple[int, int, int]:
        row = world.rows("SELECT seconds, micros, running FROM cap_days WHERE tenant_id = %s", world.tenant.id)[0]
        return row[0], row[1], row[2]

    assert dial(world, at(1)) == "claimed"
    assert sums() == (4 * 60, 4 * 61_000, 4)
    assert dial(world, at(10)) == "claimed"
    assert sums() == (3 * 1 + 2 * 60, 5 * 61_000, 2)
    found = caps.used(world.db, world.tenant.id, at(11))
    assert found is not None
    assert (found.seconds, found.micros, found.running) == sums()


def test_sums_follow_a_better_end_and_what_was_given_back(world: World) -> None:
    capped(world, minutes_per_day=1000, reserve_s=60)
    ended, back = waiting(world), waiting(world)
    assert outcome(world, ended) == outcome(world, back) == "claimed"
    talked(world, ended.attempt_id, 30)
    assert dial(world, at(60)) == "claimed"
    world.execute("UPDATE attempts SET ended_at = ended_at + interval '10 seconds' WHERE id = %s", ended.attempt_id)
    assert attempts.unclaim(world.db, back.attempt_id, 1, at(61))
    assert dial(world, at(500)) == "claimed"
    assert world.rows("SELECT seconds, running FROM cap_days WHERE tenant_id = %s", world.tenant.id) == [(40 + 120, 2)]
    assert outcome(world, back, at(501)) == "claimed"
    assert world.rows("SELECT seconds, running FROM cap_days WHERE tenant_id = %s", world.tenant.id) == [(40 + 180, 3)]


def test_a_refused_claim_leaves_the_sums_settled(world: World) -> None:
    capped(world, minutes_per_day=1, reserve_s=60)
    first = waiting(world)
    assert outcome(world, first) == "claimed"
    talked(world, first.attempt_id, 20)
    assert dial(world, at(30)) == "minutes_per_day"
    assert world.rows("SELECT seconds, running FROM cap_days WHERE tenant_id = %s", world.tenant.id) == [(20, 0)]


def test_what_no_cap_asks_for_any_more_is_forgotten(world: World) -> None:
    capped(world, minutes_per_day=1000, new_prefixes_per_hour=9)
    assert dial(world) == "claimed"
    late = waiting(world, to_number="+4930123456", expires_at=NOON + timedelta(days=40))
    assert outcome(world, late, NOON + timedelta(days=31)) == "claimed"
    days = world.rows("SELECT day FROM cap_days WHERE tenant_id = %s", world.tenant.id)
    assert days == [((NOON + timedelta(days=31)).date(),)]
    assert world.rows("SELECT prefix FROM cap_prefixes WHERE tenant_id = %s", world.tenant.id) == [("493012",)]


def test_with_the_last_cap_goes_what_was_counted(world: World) -> None:
    capped(world, minutes_per_day=1000, new_prefixes_per_hour=9)
    assert dial(world) == "claimed"
    capped(world, minutes_per_day=None)
    assert world.rows("SELECT count(*) FROM cap_uses WHERE tenant_id = %s", world.tenant.id) == [(1,)]
    capped(world, new_prefixes_per_hour=None)
    for table in ("cap_uses", "cap_days", "cap_prefixes", "tenant_caps"):
        assert world.rows(f"SELECT * FROM {table} WHERE tenant_id = %s", world.tenant.id) == [], table


def test_without_a_price_nothing_is_dialed_that_would_cost(world: World) -> None:
    capped(world, spend_per_day=10**9)
    prices.remove(world.db, "49", actor="operator:test")
    assert dial(world) == "blocked_no_price"


def test_new_destinations_are_begun_one_after_the_other(world: World) -> None:
    known = waiting(world, to_number="+4915112345678")
    assert outcome(world, known) == "claimed"
    world.execute("UPDATE calls SET created_at = now() WHERE id = %s", known.call.id)
    capped(world, new_prefixes_per_hour=2)
    assert dial(world, to_number="+4915112345679") == "claimed"  # it was called before there was a cap
    assert dial(world, at(10), to_number="+4930123456") == "claimed"
    assert dial(world, at(20), to_number="+4930123457") == "claimed"
    assert dial(world, at(30), to_number="+4940123456") == "claimed"
    third = waiting(world, to_number="+4989123456")
    assert outcome(world, third, at(40)) == "new_prefixes"
    assert rescheduled(world, third)[1] == at(10) + HOUR
    assert dial(world, at(50), to_number="+4940123457") == "claimed"
    assert outcome(world, third, at(10) + HOUR) == "claimed"


def test_what_is_used_up_for_all_calls_holds_the_tenant_until_it_has_room(world: World) -> None:
    def until() -> datetime | None:
        found = tenants.get(world.db, world.tenant.id)
        assert found is not None
        return found.held_until

    capped(world, calls_per_minute=1)
    assert dial(world) == "claimed"
    assert until() is None
    assert dial(world, at(1)) == "calls_per_minute"
    assert until() == at(60)
    capped(world, calls_per_minute=2)
    assert until() is None


def test_changed_caps_bring_back_what_waits_for_them(world: World) -> None:
    capped(world, minutes_per_day=0)
    calls = [waiting(world) for _ in range(3)]
    later = waiting(world, due_at=datetime.now(UTC) + HOUR, expires_at=datetime.now(UTC) + 2 * HOUR)
    for one in calls:
        world.execute("UPDATE calls SET expires_at = now() + interval '3 days' WHERE id = %s", one.call.id)
        assert world.claim(one.attempt_id, now=datetime.now(UTC)) == Refused("rules")
        assert world.call(one.call.id).due_at > datetime.now(UTC)
    other = enterprise(world.db, world.url)
    assert caps.bring_back(other.db, other.tenant.id) == 0
    capped(world, minutes_per_day=None)
    for one in calls:
        assert world.call(one.call.id).due_at <= datetime.now(UTC)
        assert isinstance(world.claim(one.attempt_id, now=datetime.now(UTC)), Claimed)
    assert world.call(later.call.id).due_at > datetime.now(UTC)
    assert caps.get_caps(world.db, world.tenant.id).none


def test_claims_together_are_held_to_caps_as_well(world: World) -> None:
    capped(world, calls_per_minute=3)
    free = enterprise(world.db, world.url)
    ids = [waiting(world).attempt_id for _ in range(5)]
    theirs = [waiting(free).attempt_id for _ in range(3)]
    wanted = [Wanted(one, 1, 0, world.carrier_id) for one in [*ids, *theirs]]
    random.Random(7).shuffle(wanted)
    found = attempts.claim_all(world.db, wanted, switch="fs1", pdd_s=25, clock=at(0))
    claimed = {one.attempt_id for one in found if isinstance(one, Claimed)}
    assert len(claimed & set(ids)) == 3
    assert claimed >= set(theirs)


@pytest.mark.parametrize("seed", [1, 2])
def test_racing_claims_of_many_controllers_never_exceed_a_cap(world: World, seed: int) -> None:
    """All that is dialed or talked is within every cap, whoever comes first; and what was refused fits in nothing."""
    chance = random.Random(seed)
    most = {"calls_per_minute": 9, "minutes_per_day": 7, "spend_per_day": 500_000, "number_per_day": 2}
    capped(world, **most, reserve_s=60, new_prefixes_per_hour=4)
    numbers = [f"+4930{chance.randrange(10, 99)}{n:04}" for n in range(6)] + [f"+4940{n}23456" for n in range(1, 4)]
    calls = [waiting(world, to_number=chance.choice(numbers), max_duration_s=60) for _ in range(24)]

    def work(mine: list[Accepted]) -> list[Accepted]:
        wanted = [Wanted(one.attempt_id, 1, 0, world.carrier_id) for one in mine]
        if chance.random() < 0.5:
            done = attempts.claim_all(world.db, wanted, switch="fs1", pdd_s=25, clock=at(0))
        else:
            done = [world.claim(one.attempt_id, now=at(0)) for one in mine]
        return [call for call, result in zip(mine, done, strict=True) if isinstance(result, Claimed)]

    shares = [calls[n::6] for n in range(6)]
    claimed = [one for part in results(together(*[lambda s=share: work(s) for share in shares])) for one in part]
    assert 0 < len(claimed) < len(calls)
    for call in claimed:
        talked(world, call.attempt_id, chance.choice([0.0, 30.0, 60.0]))
    dialed = [world.call(one.call.id).to_number for one in claimed]
    assert len(dialed) <= most["calls_per_minute"]
    assert max(dialed.count(to) for to in dialed) <= most["number_per_day"]
    assert len({to[1:7] for to in dialed}) <= 4
    found = caps.used(world.db, world.tenant.id, at(120))
    assert found is not None
    assert found.seconds <= most["minutes_per_day"] * 60
    assert found.micros <= most["spend_per_day"]
