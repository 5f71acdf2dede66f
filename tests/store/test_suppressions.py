"""Numbers that are not called, on real Postgres: what waits is canceled, what rings is hung up, no claim slips through."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from uuid import UUID, uuid4

import psycopg
import pytest

from calls.evidence import State
from calls.retry import RetryRules
from store import agents, attempts, audit, calls, commands, suppressed_calls, suppressions, trial
from store.attempts import Claimed
from store.calls import Accepted
from store.queue import clock
from store.suppressions import Provenance, SecondLook, Suppression
from tests.store.conftest import World, at, enterprise
from tests.store.threads import results, together

_numbers = count(20_000_000)
CUSTOMER = Provenance("api", "told us by mail", at(0), "tenant:acme")
REGISTRY = Provenance("operator", "national registry", at(0), "operator:ops", list_name="2026-01")


def number() -> str:
    return f"+49151{next(_numbers)}"


def waiting(world: World, to: str) -> Accepted:
    """As the API writes a call: with the rules it goes by."""
    return world.accept(to_number=to, retry=RetryRules())


def add(world: World, to: str, *, tenant: UUID | None = None, everybody: bool = False) -> Suppression:
    whence = REGISTRY if everybody else CUSTOMER
    owner = None if everybody else tenant or world.tenant.id
    return suppressions.add(world.db, owner, to, whence, clock(world.db))[0]


def hangups(world: World, attempt: UUID) -> list[str]:
    return [one.requested_by for one in commands.open_for_attempt(world.db, attempt) if one.verb == "hangup"]


def second_look(world: World) -> None:
    """As the watchdog's, a minute later."""
    world.execute("UPDATE suppressions SET created_at = created_at - interval '1 minute'")
    SecondLook(world.db).look(datetime.now(UTC), most_s=60)


@pytest.mark.parametrize("everybody", [False, True])
def test_what_waits_is_canceled_and_told(world: World, everybody: bool) -> None:
    to = number()
    calls = [waiting(world, to) for _ in range(3)]
    other = waiting(world, number())
    stranger = enterprise(world.db, world.url)
    theirs = waiting(stranger, to)
    add(world, to, everybody=everybody)
    for one in calls:
        call = world.call(one.call.id)
        assert (call.status, call.end_reason) == ("canceled", "canceled")
        assert call.hangup_by == ("operator" if everybody else "customer")
        assert "call.suppressed" in world.logged(one.call.id)
        assert world.told(one.call.id)[-1][1] == "call.canceled"
    assert world.call(other.call.id).status == "queued"
    assert stranger.call(theirs.call.id).status == ("canceled" if everybody else "queued")


@pytest.mark.parametrize("state", [State.DIALING, State.RINGING, State.EARLY])
def test_what_is_dialed_or_rings_is_hung_up_and_not_dialed_again(world: World, state: State) -> None:
    to = number()
    ringing = waiting(world, to)
    assert isinstance(world.claim(ringing.attempt_id), Claimed)
    if state is not State.DIALING:
        world.apply(world.seen(ringing.attempt_id, state, 2))
    add(world, to)
    assert hangups(world, ringing.attempt_id) == ["customer"]
    assert world.call(ringing.call.id).cancel_requested
    add(world, to)
    SecondLook(world.db).look(clock(world.db))
    assert hangups(world, ringing.attempt_id) == ["customer"]  # once, however often it is looked for
    world.apply(world.ended(ringing.attempt_id, "ORIGINATOR_CANCEL", 5, requested_by="customer"))
    assert world.call(ringing.call.id).status == "canceled"
    assert len(world.attempt_list(ringing.call.id)) == 1


def test_a_call_of_a_version_before_is_found_while_it_rings(world: World) -> None:
    to = number()
    ringing = world.dialing(to_number=to)  # no rules of its own: it is in no index of numbers
    add(world, to)
    assert hangups(world, ringing.attempt_id) == ["customer"]


def test_a_test_call_through_a_carrier_is_canceled_while_it_waits(world: World) -> None:
    to = number()
    agent = agents.create(world.db, tenant_id=world.tenant.id, name="testcall", kind="websocket", url="ws://127.0.0.1:9000/")
    wanted = trial.Trial(
        carrier="own",
        carrier_id=world.carrier_id,
        number=to,
        caller="+493012345678",
        tenant_id=world.tenant.id,
        agent_id=agent.id,
        ring_timeout_s=30,
        pdd_s=25,
        time_zone="UTC",
        talk_s=10,
        expires_s=90,
    )
    call = calls.accept_call(world.db, trial.prepare(world.db, wanted, at(0)), idempotency=None, now=at(0))
    add(world, to)
    assert world.call(call.call.id).status == "canceled"


def test_a_conversation_goes_on(world: World) -> None:
    to = number()
    talking = waiting(world, to)
    assert isinstance(world.claim(talking.attempt_id), Claimed)
    world.apply(world.seen(talking.attempt_id, State.IN_PROGRESS, 3))
    add(world, to)
    assert hangups(world, talking.attempt_id) == []
    assert not world.call(talking.call.id).cancel_requested


def test_added_twice_it_is_the_same_entry_and_lifted_it_is_kept(world: World) -> None:
    to = number()
    first = add(world, to)
    assert add(world, to).id == first.id
    assert first.source == "told us by mail"
    found = suppressions.lift(world.db, world.tenant.id, first.id, by="tenant:acme", reason="asked to be called", now=at(9))
    assert found is not None
    assert (found.lifted_at, found.lifted_by, found.lifted_reason) == (at(9), "tenant:acme", "asked to be called")
    again = suppressions.lift(world.db, world.tenant.id, first.id, by="x", reason="y", now=at(10))
    assert again == found
    assert isinstance(world.claim(waiting(world, to).attempt_id), Claimed)
    second = add(world, to)
    assert second.id != first.id
    mine = suppressions.list_page(world.db, world.tenant.id, 10, number=to, lifted=True)
    assert [one.id for one in mine] == [second.id, first.id]
    assert [one.id for one in suppressions.list_page(world.db, world.tenant.id, 10, number=to)] == [second.id]


def test_of_another_tenant_nothing_is_seen_or_lifted(world: World) -> None:
    to = number()
    entry, stranger = add(world, to), enterprise(world.db, world.url)
    assert suppressions.get(world.db, stranger.tenant.id, entry.id) is None
    assert suppressions.lift(world.db, stranger.tenant.id, entry.id, by="x", reason="y", now=at(9)) is None
    everybodys = add(world, number(), everybody=True)
    assert suppressions.lift(world.db, world.tenant.id, everybodys.id, by="x", reason="y", now=at(9)) is None


def test_a_list_is_taken_in_with_where_it_comes_from(world: World) -> None:
    numbers = [number() for _ in range(1200)]
    known = add(world, numbers[7])
    rings = waiting(world, numbers[0])
    assert isinstance(world.claim(rings.attempt_id), Claimed)
    calls = [waiting(world, to) for to in numbers[1:30]]
    whence = Provenance("import", "registry", at(-99), "tenant:acme", list_name="2026-01", note="monthly")
    added = suppressions.add_all(world.db, world.tenant.id, [*numbers, numbers[3]], whence, clock(world.db))
    assert (added.new, added.known, added.ended) == (1199, 1, 30)
    assert hangups(world, rings.attempt_id) == ["customer"]
    assert {world.call(one.call.id).status for one in calls} == {"canceled"}
    (one,) = suppressions.list_page(world.db, world.tenant.id, 10, number=numbers[1199])
    assert (one.origin, one.source, one.list_name, one.obtained_at) == ("import", "registry", "2026-01", at(-99))
    (kept,) = suppressions.list_page(world.db, world.tenant.id, 10, number=numbers[7])
    assert kept.id == known.id
    told = [one for one in audit.list_entries(world.db, 5, action="suppression.created") if one.data["origin"] == "import"]
    assert sorted(len(one.data["ids"]) for one in told) == [199, 1000]
    assert "+49151" not in str([one.data for one in told])  # numbers are personal


def test_more_than_may_be_taken_at_once_is_refused(world: World) -> None:
    with pytest.raises(ValueError, match="at most 10000"):
        suppressions.add_all(
            world.db, world.tenant.id, [f"+49151{n}" for n in range(10_000_000, 10_010_001)], CUSTOMER, at(0)
        )


def test_what_was_not_done_at_once_is_done_by_the_second_look(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suppressions, "AT_ONCE", 2)
    to = number()
    calls = [waiting(world, to) for _ in range(5)]
    add(world, to)
    assert sorted(world.call(one.call.id).status for one in calls) == ["canceled"] * 2 + ["queued"] * 3
    second_look(world)
    assert {world.call(one.call.id).status for one in calls} == {"canceled"}


def test_the_second_look_comes_when_no_claim_is_under_way_any_more_that_has_not_seen_the_entry(world: World) -> None:
    second_look(world)
    entry = add(world, number())
    assert SecondLook(world.db).look(entry.created_at + suppressions.REST) == 0
    world.execute("UPDATE suppressions SET created_at = created_at - interval '1 minute'")
    assert SecondLook(world.db).look(entry.created_at + suppressions.REST) == 1


@pytest.mark.parametrize("many", [3, 60])
def test_everybodys_list_ends_the_calls_of_all(world: World, many: int) -> None:
    numbers = [number() for _ in range(many)]
    stranger = enterprise(world.db, world.url)
    mine, theirs = waiting(world, numbers[0]), waiting(stranger, numbers[1])
    free = waiting(world, number())
    suppressions.add_all(world.db, None, numbers, REGISTRY, clock(world.db))
    if many > suppressed_calls.MANY:
        assert world.call(mine.call.id).status == "queued"  # no import walks over all calls: one look does, for all of them
        second_look(world)
    assert (world.call(mine.call.id).status, stranger.call(theirs.call.id).status) == ("canceled", "canceled")
    assert world.call(free.call.id).status == "queued"


def test_many_entries_of_everybodys_are_one_walk_within_a_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    second_look(world)
    monkeypatch.setattr(suppressed_calls, "PAGE", 3)
    calls = [waiting(world, number()) for _ in range(12)]
    numbers = [number() for _ in range(600)] + [world.call(one.call.id).to_number for one in calls]
    suppressions.add_all(world.db, None, numbers, REGISTRY, clock(world.db))
    world.execute("UPDATE suppressions SET created_at = created_at - interval '1 minute'")
    ((pages,),) = world.rows("SELECT count(*) FROM calls WHERE NOT ended")
    look, looks, done = SecondLook(world.db), 0, 0
    while not done:
        done = look.look(datetime.now(UTC), most_s=0)  # one step
        looks += 1
        assert looks < 1000
    assert done == 612
    assert 4 <= looks <= pages // 3 + 4  # each page once, however many entries there are
    assert {world.call(one.call.id).status for one in calls} == {"canceled"}
    assert look.look(datetime.now(UTC)) == 0


def test_an_entry_whose_first_look_fails_is_told_as_it_is_and_loses_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    to = number()
    call = waiting(world, to)

    def dies(*_: object) -> Iterator[int]:
        yield 3
        raise psycopg.OperationalError("gone")

    monkeypatch.setattr(suppressions, "ending", dies)
    entry, added = suppressions.add(world.db, world.tenant.id, to, CUSTOMER, clock(world.db))
    assert (entry.number, added.new, added.ended) == (to, 1, 3)  # it is committed, and so it is told
    assert suppressions.add_all(world.db, world.tenant.id, [to, number()], CUSTOMER, clock(world.db)).new == 1
    monkeypatch.undo()
    assert world.call(call.call.id).status == "queued"
    second_look(world)
    assert world.call(call.call.id).status == "canceled"


def test_no_claim_slips_through_while_a_number_is_suppressed(world: World) -> None:
    """Accept and claim against suppress, at the same moment: whatever was claimed is asked to end."""
    claimed = canceled = refused = 0
    for round_ in range(8):
        to = number()
        waits, idle = [waiting(world, to) for _ in range(2)], waiting(world, to)

        def dial(call: Accepted) -> UUID:
            world.claim(call.attempt_id)
            return call.call.id

        def place(to: str = to) -> UUID:
            return dial(waiting(world, to))

        works = [lambda one=one: dial(one) for one in waits] + [place, place]
        works.insert(round_ % 5, lambda to=to: add(world, to).id)
        suppression_and_calls = results(together(*works))
        del suppression_and_calls[round_ % 5]
        for call_id in [*suppression_and_calls, idle.call.id]:
            call = world.call(call_id)
            (attempt,) = world.attempt_list(call_id)
            if attempt.state == "queued":
                # Accepted after the look; its claim is refused whenever it comes.
                assert not isinstance(world.claim(attempt.id), Claimed)
                refused += 1
            elif attempt.state == "ended":
                canceled += call.status == "canceled"
                refused += call.status == "blocked"
            else:
                assert hangups(world, attempt.id) == ["customer"]
                claimed += 1
    assert claimed + canceled + refused == 40
    assert claimed
    assert canceled


def test_no_entry_of_another_form(world: World) -> None:
    for wrong in ("4915112345678", "+0123456", "tel:+4915112345678"):
        with pytest.raises(psycopg.errors.CheckViolation):
            add(world, wrong)
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        add(world, number(), tenant=uuid4())


def test_a_claim_is_refused_although_no_look_has_been(world: World) -> None:
    to = number()
    call = waiting(world, to)
    with world.db.connection() as conn:
        conn.execute(
            "INSERT INTO suppressions (id, number, origin, source, obtained_at, created_by, created_at)"
            " VALUES (%s, %s, 'operator', 'x', now(), 'operator:x', now())",
            [uuid4(), to],
        )
    refused = world.claim(call.attempt_id)
    assert isinstance(refused, attempts.Refused)
    assert (world.call(call.call.id).status, world.call(call.call.id).end_reason) == ("blocked", "blocked_suppressed")


def test_a_number_that_is_lifted_while_it_is_added_is_suppressed_anew(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    to, now, raced = number(), clock(world.db), []
    first = add(world, to)
    put = suppressions._put

    def put_and_lifted(*args: object) -> int:
        new = put(*args)  # type: ignore[arg-type]
        if not raced:
            raced.append(new)
            suppressions.lift(world.db, world.tenant.id, first.id, by="tenant:acme", reason="mistake", now=now)
        return new

    monkeypatch.setattr("store.suppressions._put", put_and_lifted)
    entry, added = suppressions.add(world.db, world.tenant.id, to, CUSTOMER, now)
    assert raced == [0]
    assert (added.new, entry.lifted_at, entry.id != first.id) == (1, None, True)
