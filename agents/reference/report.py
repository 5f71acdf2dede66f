"""What the reference agent hands in of a call: who spoke when, and how it ended."""

from __future__ import annotations

from typing import Any

#: Of a conversation that goes on for hours the first turns.
_MOST_TURNS = 500
_TEXT = 500


class Report:
    """Times in s by the event loop's clock; those handed in count in ms from the answer, and are never less than nothing."""

    def __init__(self) -> None:
        self.outcome: str | None = None  # None: the end's own reason is the outcome
        self._answered: float | None = None
        self._turns: list[dict[str, Any]] = []
        self._latencies: list[dict[str, Any]] = []

    def answered(self, now: float) -> None:
        self._answered = now

    @property
    def talked(self) -> bool:
        """Somebody answered; else there is nothing to tell."""
        return self._answered is not None

    def said(self, text: str, now: float) -> None:
        """The agent began to say it."""
        self._turn("agent", text, now, None)

    def heard(self, speaker: str, duration_ms: int, now: float) -> None:
        """The other side was heard, and is through; this agent does not know what it said."""
        self._turn(speaker, "(speech)", now - duration_ms / 1000, duration_ms)

    def took(self, name: str, seconds: float) -> None:
        """How long something took."""
        self._latencies.append({"name": name, "ms": round(seconds * 1000)})

    def result(self, reason: str) -> dict[str, Any]:
        """All of it. ``reason``: why the relay says that the call ended."""
        turns = sum(turn["speaker"] != "agent" for turn in self._turns)
        return {
            "outcome": self.outcome or reason,
            "summary": f"{turns} {'utterance' if turns == 1 else 'utterances'} heard and repeated.",
            "data": {"reason": reason},
            "transcript": self._turns,
            "latencies": self._latencies,
        }

    def _turn(self, speaker: str, text: str, began: float, duration_ms: int | None) -> None:
        if len(self._turns) < _MOST_TURNS:
            turn: dict[str, Any] = {"speaker": speaker, "text": text[:_TEXT], "at_ms": self._ms(began)}
            self._turns.append(turn if duration_ms is None else {**turn, "duration_ms": duration_ms})

    def _ms(self, moment: float) -> int:
        return 0 if self._answered is None else max(0, round((moment - self._answered) * 1000))
