"""What is asked for on a live call, of one kind: carried out on the switch in the order in which it was asked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from typing import ClassVar
from uuid import UUID

from controller.board import Board
from store.commands import Command as Wish


class Wishes(ABC):
    """One switch's, of the kind that ``verbs`` names. Where one has to wait, so do all that were asked after it of the same
    attempt.
    """

    verbs: ClassVar[Collection[str]]

    def __init__(self, board: Board) -> None:
        self._board = board
        self._waiting: set[UUID] = set()  # attempts of which an earlier wish waits, in this sweep

    def begin(self) -> None:
        """A sweep begins: the oldest wishes come first."""
        self._waiting.clear()

    def carry_out(self, wish: Wish) -> str | None:
        """What came of it; None: it stays open. Raises EslError, ``psycopg.Error``, CommandError."""
        refused = self._refused(wish)
        if refused is not None or wish.attempt_id in self._waiting:
            return refused
        return self._do(wish)

    def _wait(self, wish: Wish) -> None:
        """It stays open, and whatever was asked after it too."""
        self._waiting.add(wish.attempt_id)

    @abstractmethod
    def _refused(self, wish: Wish) -> str | None:
        """Why it is not to be carried out, whatever waits; None: it is."""

    @abstractmethod
    def _do(self, wish: Wish) -> str | None:
        """:meth:`carry_out`, of one whose turn it is."""
