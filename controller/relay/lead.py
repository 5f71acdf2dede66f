"""The file that the callee hears before the agent: a greeting, which the switch plays by itself."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID, uuid4

from controller.relay.switch import Switch

#: s; a file of whose end nothing was heard for so long counts as played.
OVERDUE_S = 2.0


class Lead:
    """``seconds``: it is at most that long; ``name``: of the mark behind it."""

    def __init__(self, path: Path, seconds: float, name: str) -> None:
        self.name = name
        self._path = path
        self._seconds = seconds
        self._playback = str(uuid4())
        self._out = self._begun = False  # the switch has it; and has told that it plays it
        self._due = 0.0
        self.over = False  # for whoever waits behind it

    @property
    def out(self) -> bool:
        """The switch has it, and it is waited for."""
        return self._out and not self.over

    def play(self, attempt: UUID, switch: Switch, now: float) -> None:
        """Raises :class:`controller.relay.switch.SwitchDown`."""
        switch.play(attempt, self._path, self._playback)
        self._out, self._due = True, now + self._seconds + OVERDUE_S

    def overdue(self, now: float) -> bool:
        return self.out and now >= self._due

    def wait_longer(self, now: float) -> None:
        """Something else is played before it goes on, or went on."""
        self._due = now + self._seconds + OVERDUE_S

    def drop(self) -> None:
        """It is not waited for any more."""
        self.over = True
        self._out = self._out and not self._begun

    def is_it(self, playback: str) -> bool:
        """Whether that playback (its id or path) is this file, also when it was dropped before the switch told that it
        begins: its path may be played again by others.
        """
        return self._out and playback in (self._playback, str(self._path))

    def started(self) -> bool:
        """The switch plays it. False: known already, or it is not waited for any more."""
        first, self._begun = not self._begun, True
        if self.over:
            self._out = False
        return first and not self.over

    def finished(self, playback: str) -> bool:
        """The switch is through with that playback. False: it is not this one, or not waited for any more."""
        if not self._out or playback != self._playback:
            return False
        waited, self._out, self.over = not self.over, False, True
        return waited
