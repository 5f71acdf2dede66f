"""Reconcile on real Postgres, Redis and ESL: each way in which a row and a channel can disagree."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import gevent
import pytest

from budget import permits
from budget.connect import connect
from budget.replies import number
from budget.scopes import carrier_scope
from budget.scripts import PREFIX
from calls.evidence import End, Evidence, Source, State
from calls.ids import call_ref
from controller import commands, esl_replies, reconcile
from controller.board import Board
from controller.esl import CommandRefused, EslLink
from controller.frames import text_of
from controller.reconcile import ROUND_S, Reconciler
from lab.host import LabCarrier, LabSwitch
from lab.wrong_clock import wrong_datetime
from settings import Settings
from store import attempts, calls, switches
from tests.store.conftest import World, settings_for

SILENT_CALLEE = "+12125550122"
RINGS_FOR_EVER = "+12125550102"


@pytest.fixture(scope="module")
def switch() -> Iterator[LabSwitch]:
    with LabCarrier("a", channels=20, cps=50) as carrier, LabSwitch({"gw": carrier.sip}) as running:
        yield running


@pytest.fixture
def board(world: World, redis_url: str, switch: LabSwitch) -> Iterator[Board]:
    host, port = switch.esl
    settings: Settings = settings_for(
        world.url, redis_url=redis_url, esl_host=host, esl_port=port, esl_password=switch.password, esl_grace_s=0.2
    )
    link, events = EslLink(settings), EslLink(settings, role="events")
    link.connect()
    redis = connect(settings)
    yield Board(settings, world.db, redis, link, events)
    link.stop()
    redis.close()


class Desk:
    """A reconciler whose conclusions are kept; ``rounds`` until it comes to one or is surely content."""

    def __init__(self, board: Board) -> None:
        self.seen: list[Evidence] = []
        self.board = board
        self.reconciler = Reconciler(board, self.seen.append, lambda _: False)

    def until(self, done: Callable[[], bool], timeout_s: float = 15) -> None:
        deadline = time.monotonic() + timeout_s
        while not done():
            assert time.monotonic() < deadline, self.seen
            self.reconciler.one_pass()
            gevent.sleep(0.1)

    def two_rounds(self) -> None:
        end = time.monotonic() + ROUND_S + 0.5
        while time.monotonic() < end:
            self.reconciler.one_pass()
            gevent.sleep(0.2)

    def ends(self, attempt: UUID) -> list[str]:
        return [e.end.cause for e in self.seen if e.attempt_id == attempt and e.end is not None]


def claimed(world: World, ago_s: float = 10) -> calls.Accepted:
    """A call whose attempt was claimed a while ago, whatever the machine's clock says."""
    accepted = due(world)
    claim(world, accepted, ago_s)
    return accepted


def due(world: World, **changes: Any) -> calls.Accepted:
    now = datetime.now(UTC)
    return world.accept(due_at=now - timedelta(hours=1), expires_at=now + timedelta(hours=1), **changes)


def claim(world: World, accepted: calls.Accepted, ago_s: float) -> None:
    made = world.claim(accepted.attempt_id, now=datetime.now(UTC) - timedelta(seconds=ago_s))
    assert isinstance(made, attempts.Claimed)


def known_since(board: Board, ago_s: float) -> None:
    """The switch has been this very process for so long."""
    core = board.link.call(commands.global_getvar("core_uuid"))
    board.db.run(lambda c: c.execute(b"DELETE FROM switches"))
    switches.seen(board.db, board.settings.switch, core, datetime.now(UTC) - timedelta(seconds=ago_s))


def dial(board: Board, accepted: calls.Accepted, number: str = SILENT_CALLEE, until: str = "Answered") -> None:
    """The channel of an attempt, answered or (``until="Progress"``) ringing."""
    board.link.call(
        commands.originate(
            attempt_id=accepted.attempt_id,
            call_ref=call_ref(accepted.call.id),
            tenant="acme",
            gateway="gw",
            to_number=number,
            from_number="+12025550100",
            originate_timeout_s=30,
            max_duration_s=60,
        )
    )
    deadline = time.monotonic() + 10
    while (text := seen_at(board, accepted.attempt_id, until)) in (None, "0"):
        assert time.monotonic() < deadline, text
        gevent.sleep(0.05)


def seen_at(board: Board, attempt: UUID, what: str) -> str | None:
    """When the switch saw it, in microseconds since 1970; "0" or None: not yet."""
    try:
        reply = board.link.call(commands.uuid_dump(attempt))
    except CommandRefused:
        return None
    return text_of(esl_replies.dump(reply), f"Caller-Channel-{what}-Time")


def test_claimed_and_no_tombstone_was_never_sent(world: World, board: Board) -> None:
    known_since(board, 60)
    accepted, desk = claimed(world), Desk(board)
    desk.until(lambda: bool(desk.ends(accepted.attempt_id)))
    (end,) = [e.end for e in desk.seen if e.attempt_id == accepted.attempt_id]
    assert end is not None
    assert (end.cause, end.local) == ("never_sent", True)


def test_a_tombstone_without_channel_is_lost_not_unsent(world: World, board: Board) -> None:
    known_since(board, 60)
    accepted, desk = claimed(world), Desk(board)
    board.link.call(commands.hash_insert("trunkline", accepted.attempt_id, 1))
    desk.until(lambda: bool(desk.ends(accepted.attempt_id)))
    assert desk.ends(accepted.attempt_id) == ["lost"]


def test_after_a_restart_of_the_switch_a_missing_tombstone_proves_nothing(world: World, board: Board) -> None:
    accepted, desk = claimed(world), Desk(board)
    known_since(board, 5)
    desk.until(lambda: bool(desk.ends(accepted.attempt_id)))
    assert desk.ends(accepted.attempt_id) == ["lost"]


def test_many_lost_calls_end_in_the_same_round(world: World, board: Board) -> None:
    """A switch dies with all its calls: what is recorded of the first may not hold up the others."""
    known_since(board, 60)
    lost = [claimed(world).attempt_id for _ in range(5)]
    for attempt in lost:
        board.link.call(commands.hash_insert("trunkline", attempt, 1))
    desk = Desk(board)
    desk.reconciler.waits = lambda attempt: bool(desk.ends(attempt))  # nothing is written in the meantime
    desk.two_rounds()
    assert {attempt: desk.ends(attempt) for attempt in lost} == {attempt: ["lost"] for attempt in lost}


def test_what_is_not_yet_written_may_be_the_end_that_is_missed(world: World, board: Board) -> None:
    known_since(board, 60)
    accepted, desk = claimed(world), Desk(board)
    desk.reconciler.waits = lambda _: True
    desk.two_rounds()
    assert desk.ends(accepted.attempt_id) == []


def test_nothing_is_concluded_in_one_round(world: World, board: Board) -> None:
    known_since(board, 60)
    accepted, desk = claimed(world), Desk(board)
    desk.reconciler.one_pass()
    assert desk.ends(accepted.attempt_id) == []


def test_a_young_row_is_left_alone(world: World, board: Board) -> None:
    known_since(board, 60)
    accepted, desk = claimed(world, ago_s=-60), Desk(board)
    desk.two_rounds()
    assert desk.ends(accepted.attempt_id) == []


def test_a_live_channel_is_adopted_as_far_as_it_is(world: World, board: Board) -> None:
    known_since(board, 60)
    accepted, desk = claimed(world), Desk(board)
    dial(board, accepted)
    desk.reconciler.now_please()
    desk.reconciler.one_pass()
    adopted = [e for e in desk.seen if e.attempt_id == accepted.attempt_id]
    assert [(e.state, e.source) for e in adopted] == [(State.IN_PROGRESS, Source.RECONCILE)]
    desk.two_rounds()
    assert desk.ends(accepted.attempt_id) == []
    board.link.call(commands.uuid_kill(accepted.attempt_id))


def test_a_ringing_channel_whose_row_has_ended_is_hung_up(world: World, board: Board) -> None:
    accepted, desk = claimed(world), Desk(board)
    dial(board, accepted, RINGS_FOR_EVER, until="Progress")
    world.apply(world.busy(accepted.attempt_id, 9))
    desk.until(lambda: not esl_replies.exists(board.link.call(commands.uuid_exists(accepted.attempt_id))))


def test_a_conversation_is_not_cut_because_its_row_has_ended(world: World, board: Board) -> None:
    accepted, desk = claimed(world), Desk(board)
    dial(board, accepted)
    world.apply(world.ended(accepted.attempt_id, "ring_silence", 9, source=Source.WATCHDOG))
    desk.two_rounds()
    assert esl_replies.exists(board.link.call(commands.uuid_exists(accepted.attempt_id)))
    board.link.call(commands.uuid_kill(accepted.attempt_id))


def test_a_live_call_without_lease_gets_one(world: World, board: Board) -> None:
    known_since(board, 60)
    accepted, desk = claimed(world), Desk(board)
    dial(board, accepted)
    desk.reconciler.one_pass()
    assert [x.attempt_id for x in permits.leases(board.redis, [world.carrier_id])] == [accepted.attempt_id]
    board.link.call(commands.uuid_kill(accepted.attempt_id))


def test_a_young_row_is_caught_up_with_later(world: World, board: Board) -> None:
    known_since(board, 60)
    accepted, desk = due(world), Desk(board)
    dial(board, accepted)
    claim(world, accepted, ago_s=-1)
    desk.reconciler.one_pass()

    def told() -> list[State]:
        return [e.state for e in desk.seen if e.attempt_id == accepted.attempt_id]

    assert told() == []
    desk.until(lambda: told() == [State.IN_PROGRESS])
    board.link.call(commands.uuid_kill(accepted.attempt_id))


def test_a_lease_whose_call_has_ended_is_given_back(world: World, board: Board) -> None:
    accepted, desk = claimed(world), Desk(board)
    lease = permits.Lease(accepted.attempt_id, 1, world.carrier_id, board.settings.switch)
    permits.adopt(board.redis, board.settings, lease, accepted.lane)
    world.apply(world.busy(accepted.attempt_id, 9))
    desk.reconciler.one_pass()
    assert len(permits.leases(board.redis, [world.carrier_id])) == 1, "the event that gives it back may be on its way"
    desk.until(lambda: permits.leases(board.redis, [world.carrier_id]) == [])


def test_a_lease_that_the_event_gives_back_a_moment_after_the_cdr_is_no_leak(
    world: World, board: Board, caplog: pytest.LogCaptureFixture
) -> None:
    accepted, desk = claimed(world), Desk(board)
    lease = permits.Lease(accepted.attempt_id, 1, world.carrier_id, board.settings.switch)
    permits.adopt(board.redis, board.settings, lease, accepted.lane)
    world.apply(world.busy(accepted.attempt_id, 9, source=Source.CDR))
    desk.reconciler.one_pass()
    permits.release(board.redis, accepted.attempt_id, 1)
    desk.two_rounds()
    assert "lease without call" not in caplog.messages


@pytest.mark.parametrize("wrong_s", [-300, 300])
def test_a_controllers_wrong_clock_hides_nothing_and_hurries_nothing(
    world: World, board: Board, monkeypatch: pytest.MonkeyPatch, wrong_s: int
) -> None:
    monkeypatch.setattr(reconcile, "datetime", wrong_datetime(timedelta(seconds=wrong_s)))
    desk, old, young = Desk(board), due(world), due(world)
    known_since(board, 60)
    desk.reconciler.one_pass()  # what it writes of the switch's life is no later than any claim
    claim(world, old, 10)
    board.link.call(commands.hash_insert("trunkline", old.attempt_id, 1))
    claim(world, young, -60)
    desk.until(lambda: bool(desk.ends(old.attempt_id)))
    assert (desk.ends(old.attempt_id), desk.ends(young.attempt_id)) == (["lost"], [])
    (end,) = [one for one in desk.seen if one.attempt_id == old.attempt_id]
    assert end.end is not None
    assert abs(end.end.at - datetime.now(UTC)) < timedelta(seconds=100)


def test_more_channels_than_go_into_one_write_are_each_asked(world: World, board: Board) -> None:
    known_since(board, 60)
    live, gone = [claimed(world) for _ in range(2)], [claimed(world) for _ in range(reconcile.QUESTIONS)]
    for accepted in live:
        dial(board, accepted)
    for accepted in gone:
        board.link.call(commands.hash_insert("trunkline", accepted.attempt_id, 1))
    desk = Desk(board)
    desk.until(lambda: all(desk.ends(accepted.attempt_id) for accepted in gone))
    assert {e.attempt_id: e.state for e in desk.seen if e.end is None} == {
        accepted.attempt_id: State.IN_PROGRESS for accepted in live
    }
    for accepted in live:
        board.link.call(commands.uuid_kill(accepted.attempt_id))


def counting(board: Board, world: World) -> int:
    """Channels of the carrier that still count after their end."""
    return number(board.redis.zcard(f"{PREFIX}linger:{carrier_scope(world.carrier_id)}")) or 0


@pytest.mark.parametrize("silent", [False, True], ids=["refused", "not a word"])
def test_what_only_the_cdr_told_is_set_free_tombstone_and_all(world: World, board: Board, silent: bool) -> None:
    """The event was lost: nobody released anything. An INVITE without an answer goes on counting as long as it is sent."""
    accepted = claimed(world)
    attempt = accepted.attempt_id
    lease = permits.Lease(attempt, 1, world.carrier_id, board.settings.switch)
    permits.adopt(board.redis, board.settings, lease, accepted.lane)
    board.link.call(commands.hash_insert("trunkline", attempt, 1))
    now = datetime.now(UTC)
    end = End("NO_ANSWER", now, disposition="send_cancel") if silent else End("USER_BUSY", now, sip_code=486, ringing_at=now)
    world.apply(Evidence(attempt, f"cdr:{attempt}", Source.CDR, State.ENDED, now, end))
    desk = Desk(board)
    desk.until(lambda: permits.leases(board.redis, [world.carrier_id]) == [])
    assert esl_replies.fence(board.link.call(commands.hash_select("trunkline", attempt))) is None
    assert desk.ends(attempt) == []
    assert counting(board, world) == silent


def test_the_lease_of_another_switch_is_not_ours_to_free(world: World, board: Board) -> None:
    accepted, desk = claimed(world), Desk(board)
    lease = permits.Lease(accepted.attempt_id, 1, world.carrier_id, "fs9")
    permits.adopt(board.redis, board.settings, lease, accepted.lane)
    world.apply(world.busy(accepted.attempt_id, 9))
    desk.two_rounds()
    assert permits.leases(board.redis, [world.carrier_id]) == [lease]
