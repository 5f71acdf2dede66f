"""One answer for all who ask the same at the same time."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

from store.together import BrokenOff, NotBegun, Together

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")

#: Who share one answer.
MOST = 10_000


class Sharing(Generic[K, T]):
    """Questions by key. At most one of a key is under way; whoever comes meanwhile shares the next one.

    So an answer is never older than its question, and a thousand who ask at once cost a few queries. An error is shared too.
    A question is told how many ask, and has an answer for each.
    """

    def __init__(self) -> None:
        self._desks: WeakValueDictionary[K, Together[Callable[[int], Sequence[T]], T]] = WeakValueDictionary()

    def ask(self, key: K, question: Callable[[int], Sequence[T]]) -> T:
        """What ``question`` answers one of those who ask, asked by us or, after we came, by another."""
        desk = self._desks.get(key)
        if desk is None:
            desk = self._desks[key] = Together(_once, most=MOST, look=True)
        try:
            return desk.do(question)
        except (BrokenOff, NotBegun):  # the other's request was ended in the middle of it: ours is not
            return question(1)[0]


def _once(questions: Sequence[Callable[[int], Sequence[T]]]) -> Sequence[T]:
    return questions[0](len(questions))
