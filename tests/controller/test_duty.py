"""What a controller may do is bounded by time, counted from before it asked; what it heard standing by is not lost."""

from __future__ import annotations

import gevent
import psycopg
import pytest

from controller import commands, commands_link
from controller.duty import COUNTS, UNABLE, Duty, Heard
from controller.esl_connection import Connection
from controller.esl_errors import NotOnDuty
from controller.esl_state import Counters

LEASE_S = 2.0


class Book:
    """Answers as it was told to, while ``spends`` s pass."""

    def __init__(self) -> None:
        self.now, self.spends = 100.0, 0.0
        self.answers: list[int | Exception | None] = []
        self.left = self.closed = 0

    def clock(self) -> float:
        return self.now

    def take(self) -> int | None:
        self.now += self.spends
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def leave(self) -> bool:
        self.left += 1
        return True

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def book() -> Book:
    return Book()


@pytest.fixture
def duty(book: Book) -> Duty:
    return Duty(book, LEASE_S, clock=book.clock, wall=book.clock)


def test_the_lease_is_counted_from_before_the_question(book: Book, duty: Duty) -> None:
    book.spends, book.answers = 0.5, [7]
    assert not duty.held
    duty.ask()
    assert (duty.on, duty.held, duty.fence) == (True, True, 7)
    book.now = 100.0 + LEASE_S * COUNTS - 0.001
    assert duty.held
    book.now = 100.0 + LEASE_S * COUNTS
    assert not duty.held
    assert duty.on  # nobody else was heard of


def test_an_answer_later_than_the_lease_allows_nothing(book: Book, duty: Duty) -> None:
    book.spends, book.answers = LEASE_S, [7]
    duty.ask()
    assert duty.on
    assert not duty.held


def test_without_postgres_only_time_runs(book: Book, duty: Duty) -> None:
    book.answers = [7, psycopg.OperationalError("away"), TimeoutError("away")]
    duty.ask()
    book.now += 1
    duty.ask()
    assert duty.held
    book.now += 1
    duty.ask()
    assert duty.on
    assert not duty.held


def test_duty_that_did_not_count_for_a_while_is_told_of_once_it_counts_again(book: Book, duty: Duty) -> None:
    told: list[bool] = []
    duty.regained = lambda: told.append(duty.held)
    away = psycopg.OperationalError("away")
    book.answers = [7, 7, away, 7, away, away, 7, 7]
    for _ in range(6):
        duty.ask()
        book.now += LEASE_S * 0.4
    assert not duty.held
    assert told == []
    duty.ask()
    duty.ask()
    assert told == [True]
    # An answer that comes when the lease has run out again allows nothing; nor is a duty taken anew one regained.
    book.now, book.spends, book.answers = book.now + LEASE_S, LEASE_S, [7, 9]
    duty.ask()
    book.spends = 0.0
    duty.ask()
    assert (duty.fence, duty.held, told) == (9, True, [True])


def test_each_change_is_told_once_in_order(book: Book, duty: Duty) -> None:
    told: list[str] = []
    duty.took, duty.lost = (lambda: told.append("took")), (lambda: told.append("lost"))
    book.answers = [None, 7, 7, None, None, 9, 11]
    for _ in range(len(book.answers)):
        duty.ask()
    # 9, then 11: replaced and on duty again without having noticed.
    assert told == ["took", "lost", "took", "lost", "took"]
    assert duty.fence == 11


def test_leaving_ends_it_at_once(book: Book, duty: Duty) -> None:
    book.answers = [7]
    duty.ask()
    duty.leave()
    assert (duty.on, duty.held, book.left, book.closed) == (False, False, 1, 1)
    Duty(other := Book(), LEASE_S).leave()
    assert (other.left, other.closed) == (0, 1)


def test_what_was_heard_is_kept_until_another_must_have_written_it(book: Book) -> None:
    heard: Heard[str] = Heard(15.0, clock=book.clock)
    for second, what in ((0, "old"), (10, "first"), (20, "second")):
        book.now = 100.0 + second
        heard.add(what)
    book.now = 124.0
    heard.sure()
    # From then on nobody answers: whoever is on duty may not have been able to write for as long.
    book.now = 200.0
    heard.add("third")
    assert heard.take() == ["first", "second", "third"]
    assert heard.take() == []


def test_who_has_no_way_to_the_switch_does_not_take_the_duty_and_gives_it_up(book: Book) -> None:
    able, told = [False], []
    duty = Duty(book, LEASE_S, able=lambda: able[0], clock=book.clock, wall=book.clock)
    duty.took, duty.lost = (lambda: told.append("took")), (lambda: told.append("lost"))
    book.answers = [7, 7, 9]
    duty.ask()
    assert (duty.on, len(book.answers)) == (False, 3)
    able[0] = True
    duty.ask()
    assert duty.held
    able[0] = False
    duty.ask()  # a short loss is none
    assert duty.held
    book.now += LEASE_S * UNABLE + 0.1
    duty.ask()
    assert (duty.on, book.left, told) == (False, 1, ["took", "lost"])
    able[0] = True
    duty.ask()
    assert (duty.fence, told[-1]) == (9, "took")


def test_a_machine_that_was_frozen_and_did_not_count_it_may_not_act(book: Book) -> None:
    wall = [1000.0]
    duty = Duty(book, LEASE_S, clock=book.clock, wall=lambda: wall[0])
    book.answers = [7, 7]
    duty.ask()
    assert duty.held
    wall[0] += LEASE_S
    assert not duty.held
    duty.ask()
    assert duty.held
    wall[0] -= 3600  # a clock set back says nothing
    assert duty.held


def test_only_on_duty_a_deed_is_written() -> None:
    """The last gate stands at the socket, after every wait there was."""
    ours, theirs = gevent.socket.socketpair()
    may = [False]
    connection = Connection(
        ours,
        max_frame_bytes=1 << 16,
        command_timeout_s=2,
        on_close=lambda _: None,
        counters=Counters(),
        may_act=lambda: may[0],
    )
    try:
        connection.write([commands.ping()])
        with pytest.raises(NotOnDuty) as refused:
            connection.write([commands.ping(), commands.uuid_kill(commands.NOBODY)])
        assert not refused.value.maybe_sent
        may[0] = True
        connection.write([commands.uuid_kill(commands.NOBODY)])
        assert theirs.recv(4096).count(b"\n\n") == 2
    finally:
        connection.close("done")
        theirs.close()


@pytest.mark.parametrize(
    ("item", "deed"),
    [
        (commands.hash_insert("trunkline", commands.NOBODY, 1), True),
        (commands.hash_delete("trunkline", commands.NOBODY), True),
        (commands.uuid_setvar(commands.NOBODY, "trunkline_hangup_by", "agent"), True),
        (commands.hangup(commands.NOBODY), True),
        (commands.uuid_break(commands.NOBODY), True),
        (commands.hash_select("trunkline", commands.NOBODY), False),
        (commands.uuid_exists(commands.NOBODY), False),
        (commands.show_channels(), False),
        (commands_link.auth(user="", password="secret"), False),
        (commands_link.subscribe(["HEARTBEAT"]), False),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_a_deed_is_what_changes_something(item: commands.Command, deed: bool) -> None:
    assert item.is_deed is deed
