"""The file that the switch plays on one leg, whoever asked for it: it plays one at a time, and the rest waits behind it."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from uuid import UUID

from controller.frames import Event, text_of
from controller.relay.switch import Switch, SwitchDown

log = logging.getLogger(__name__)


class Playing:
    """``since``: when ``path`` began, or was found under way (event loop's clock); None: none plays."""

    def __init__(self) -> None:
        self.since: float | None = None
        self.path = Path()
        self._ended = 0

    def on_event(self, event: Event, at: float) -> None:
        """The switch tells of the leg; of the beginning or the end of a file, perhaps."""
        name = text_of(event, "Event-Name")
        if name == "PLAYBACK_START":
            self.since, self.path = at, Path(text_of(event, "Playback-File-Path") or "")
        elif name == "CHANNEL_EXECUTE_COMPLETE" and text_of(event, "Application") == "playback":
            self.ended()

    def ended(self) -> None:
        """It plays none any more."""
        self.since = None
        self._ended += 1

    async def look(self, attempt: UUID, switch: Switch, wait_s: float) -> None:
        """Ask the switch, where the beginning may not have been heard of. Does not raise."""
        before = self._ended
        try:
            await switch.wait_up(wait_s)
            channel = await switch.look(attempt)
        except (TimeoutError, SwitchDown) as error:
            log.warning("attempt %s: what does the switch play? %s", attempt, error)
            return
        if channel is None or self._ended != before:  # what it says may be of before that end
            return
        plays = text_of(channel, "variable_current_application") == "playback"
        if plays and text_of(channel, "variable_current_application_response") is None and self.since is None:
            self.since = asyncio.get_running_loop().time()
            self.path = Path(text_of(channel, "variable_current_application_data") or "")
