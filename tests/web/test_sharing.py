"""Who asks the same at the same time shares an answer, and none gets one that is older than its question."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.store.threads import wait_for
from web.sharing import Sharing


def test_whoever_comes_meanwhile_shares_the_next_one() -> None:
    sharing: Sharing[str, int] = Sharing()
    asked: list[int] = []
    go = threading.Event()

    def question() -> int:
        asked.append(len(asked))
        assert go.wait(20)
        return asked[-1]

    with ThreadPoolExecutor(12) as pool:
        first = pool.submit(sharing.ask, "key", question)
        wait_for(lambda: len(asked) == 1)
        rest = [pool.submit(sharing.ask, "key", question) for _ in range(10)]
        other = pool.submit(sharing.ask, "other", lambda: 77)
        assert other.result(20) == 77
        wait_for(lambda: len(sharing._desks["key"]._waiting) == len(rest))
        go.set()
        assert first.result(20) == 0
        # They came after the first question was put: its answer is not theirs.
        assert {one.result(20) for one in rest} == {1}
    assert asked == [0, 1]
    assert not sharing._desks


def test_an_error_is_shared_and_not_kept() -> None:
    sharing: Sharing[str, int] = Sharing()

    def fail() -> int:
        raise LookupError("away")

    for _ in range(2):
        with pytest.raises(LookupError, match="away"):
            sharing.ask("key", fail)
    assert sharing.ask("key", lambda: 3) == 3
