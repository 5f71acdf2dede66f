"""One answer for all who ask the same at the same time."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from concurrent.futures import Future
from threading import Lock
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class Sharing(Generic[K, T]):
    """Questions by key. At most one of a key is under way; whoever comes meanwhile shares the next one.

    So an answer is never older than its question, and a thousand who ask at once cost a few queries. An error is shared too.
    """

    def __init__(self) -> None:
        self._next: dict[K, Future[T]] = {}
        self._turns: dict[K, tuple[Lock, int]] = {}

    def ask(self, key: K, question: Callable[[], T]) -> T:
        """What ``question`` answers, asked by us or, after we came, by another."""
        answer = self._next.get(key)
        if answer is not None:
            return answer.result()
        answer = self._next[key] = Future()
        turn, users = self._turns.get(key, (Lock(), 0))
        self._turns[key] = (turn, users + 1)
        try:
            with turn:
                del self._next[key]  # from here on it is too late to share it
                answer.set_result(question())
        except BaseException as error:
            if not answer.done():
                answer.set_exception(error)
                if self._next.get(key) is answer:
                    del self._next[key]
            raise
        finally:
            turn, users = self._turns[key]
            if users == 1:
                del self._turns[key]
            else:
                self._turns[key] = (turn, users - 1)
        return answer.result()
