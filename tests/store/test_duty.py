"""One controller on duty beside a switch, by the database's clock; the fence rises with every change of hands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from uuid import UUID, uuid4

import psycopg
import pytest

from store.attempts import Claimed, Refused
from store.duty import DutyBook
from tests.store.conftest import World, settings_for
from tests.store.threads import results, together, wait_for


@pytest.fixture
def book(world: World) -> Iterator[Callable[..., DutyBook]]:
    """``book(switch, lease_s=...)``: another controller's."""
    books: list[DutyBook] = []

    def make(switch: str, *, lease_s: float = 30.0, me: UUID | None = None) -> DutyBook:
        books.append(DutyBook(settings_for(world.url, duty_lease_s=lease_s), switch, me or uuid4()))
        return books[-1]

    yield make
    for one in books:
        one.close()


def test_one_has_it_and_keeps_it(book: Callable[..., DutyBook]) -> None:
    first, second = book("one"), book("one")
    fence = first.take()
    assert fence is not None
    assert second.take() is None
    assert first.take() == fence
    assert second.take() is None
    assert book("another").take() is not None


def test_of_many_at_once_one_takes_it(book: Callable[..., DutyBook]) -> None:
    books = [book("many") for _ in range(8)]
    took = [fence for fence in results(together(*[one.take for one in books])) if fence is not None]
    assert len(took) == 1


def test_whoever_leaves_is_followed_at_once(book: Callable[..., DutyBook]) -> None:
    first, second = book("left"), book("left")
    fence = first.take()
    assert fence is not None
    assert not second.leave()
    assert first.leave()
    assert second.take() == fence + 1
    assert first.take() is None


def test_silence_loses_it(book: Callable[..., DutyBook]) -> None:
    first, second = book("silent", lease_s=0.5), book("silent")
    fence = first.take()
    assert fence is not None
    wait_for(lambda: second.take() == fence + 1)
    assert first.take() is None


def test_late_but_not_replaced_is_still_the_same(book: Callable[..., DutyBook], world: World) -> None:
    first = book("late", lease_s=0.5)
    fence = first.take()
    wait_for(lambda: world.rows("SELECT duty_until < clock_timestamp() FROM switches WHERE name = 'late'") == [(True,)])
    assert first.take() == fence


def test_a_lost_connection_is_made_anew(book: Callable[..., DutyBook], world: World) -> None:
    first = book("cut")
    fence = first.take()
    world.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'duty-cut%%'")
    with pytest.raises(psycopg.OperationalError):
        first.take()
    assert first.take() == fence


def test_a_claim_of_one_that_was_replaced_is_refused(book: Callable[..., DutyBook], world: World) -> None:
    first, second = book("fs1"), book("fs1")
    old = first.take()
    attempt = world.accept().attempt_id
    assert first.leave()
    new = second.take()
    assert world.claim(attempt, duty=old) == Refused("off_duty")
    (row,) = world.rows("SELECT state, fence, pushed_epoch FROM attempts WHERE id = %s", attempt)
    assert row == ("queued", None, None)
    assert isinstance(world.claim(attempt, duty=new), Claimed)


def test_a_claim_for_a_switch_nobody_has_spoken_for_is_refused(world: World) -> None:
    assert world.claim(world.accept().attempt_id, switch="nowhere", duty=1) == Refused("off_duty")
