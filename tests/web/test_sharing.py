"""Who asks the same at the same time shares an answer, and none gets one that is older than its question."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.store.threads import wait_for
from web.sharing import Sharing


def test_whoever_comes_meanwhile_shares_the_next_one() -> None:
    sharing: Sharing[str, tuple[int, int]] = Sharing()
    asked: list[int] = []
    go = threading.Event()

    def question(came: int) -> list[tuple[int, int]]:
        asked.append(came)
        turn = len(asked)
        assert go.wait(20)
        return [(turn, nth) for nth in range(came)]

    with ThreadPoolExecutor(12) as pool:
        first = pool.submit(sharing.ask, "key", question)
        wait_for(lambda: len(asked) == 1)
        rest = [pool.submit(sharing.ask, "key", question) for _ in range(10)]
        wait_for(lambda: len(sharing._desks["key"]._waiting) == 10)
        other = pool.submit(sharing.ask, "other", lambda _: [(77, 0)])
        assert other.result(20) == (77, 0)
        go.set()
        assert first.result(20) == (1, 0)
        # They came after the first question was put: its answer is not theirs; and each has one of its own.
        assert sorted(one.result(20) for one in rest) == [(2, nth) for nth in range(10)]
    assert asked == [1, 10]
    assert not sharing._desks


def test_an_error_is_shared_and_not_kept() -> None:
    sharing: Sharing[str, int] = Sharing()

    def fail(_: int) -> list[int]:
        raise LookupError("away")

    for _ in range(2):
        with pytest.raises(LookupError, match="away"):
            sharing.ask("key", fail)
    assert sharing.ask("key", lambda came: [3] * came) == 3
