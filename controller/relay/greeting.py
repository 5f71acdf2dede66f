"""What the callee hears at the answer, before the agent: made ready while the phone rings, played by the switch."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

from calls.script import NotSpeakable, filled
from controller.relay.leg import Leg
from controller.relay.speech import SpeechFailed
from store.relay import RelayCall

log = logging.getLogger(__name__)

#: s after the answer; a callee does not wait longer for it, and the agent not to be heard.
LATEST_S = 1.0


class Greeting:
    """One call's. A call is no worse for a greeting that cannot be played: its agent is told, and may greet by itself.

    ``waiting``: the agent takes over from another one, so nobody is to be greeted. Nor is anybody whose call was taken up on
    its way: the switch has played it, or plays it to its end.
    """

    def __init__(self, leg: Leg, call: RelayCall, *, waiting: bool) -> None:
        self._leg = leg
        self._call = call
        self._wanted = None if waiting or leg.resumed else call.agent_greeting
        self._ready = asyncio.Event()
        self._path: Path | None = None
        self._over = self._wanted is None
        self._given = False  # to whoever plays it
        self.failed: str | None = None  # why it was not heard
        self._words = ""
        if self._wanted is not None and "text" in self._wanted:
            try:
                self._words = filled(self._wanted["text"], call.agent_variables)
            except NotSpeakable as error:
                self._fail("missing_variable", f"agent_variables.{error.name}: {error}")

    @property
    def facts(self) -> dict[str, Any] | None:
        """What the agent is told of it; None: there is none, or none any more."""
        if self._over or self._wanted is None:
            return None
        return {"audio": self._wanted["audio"]} if "audio" in self._wanted else {"text": self._words}

    async def prepare(self) -> None:
        """Make it ready; does not raise. One that comes too late for this call is made all the same: the next one has it."""
        limit = self._leg.parts.settings.tts_call_timeout_s
        try:
            if self._wanted is not None and self.failed is None:
                async with asyncio.timeout(limit):
                    self._path = await self._made(self._wanted)
        except TimeoutError:
            self._not_spoken(f"it, and other calls' texts before it, took longer than {limit:g} s to speak")
        except (SpeechFailed, OSError) as error:
            self._not_spoken(str(error))
        finally:
            self._ready.set()

    async def _made(self, wanted: dict[str, str]) -> Path | None:
        leg, settings = self._leg, self._leg.parts.settings
        if "audio" in wanted:
            if not settings.announcement_dir:
                self._fail("not_set_up", "set TRUNKLINE_ANNOUNCEMENT_DIR to where the switch finds the audio")
                return None
            return Path(settings.announcement_dir) / wanted["audio"]
        path = leg.parts.files.place(leg.attempt, 0)
        await leg.parts.spoken.write(settings, self._call.agent_voice, self._words, path)
        return path

    async def path(self, latest: float) -> Path | None:
        """The file, once it is ready, which is waited for until ``latest`` (event loop's clock); None: nothing is to be
        played.
        """
        try:
            async with asyncio.timeout_at(latest):
                await self._ready.wait()
        except TimeoutError:
            self._not_spoken(f"it was not ready {LATEST_S:g} s after the answer")
        self._given = not self._over
        return self._path if self._given else None

    def drop(self) -> bool:
        """It is to be heard no more. False: it was given to be played, or is over."""
        if self._given or self._over:
            return False
        self._over = True
        self._ready.set()
        return True

    def _not_spoken(self, detail: str) -> None:
        if not self._over:
            self._fail("not_spoken", detail)

    def _fail(self, reason: str, detail: str) -> None:
        log.warning("attempt %s: no greeting: %s: %s", self._leg.attempt, reason, detail)
        self._leg.note("relay.greeting_failed", {"reason": reason, "detail": detail[:500]})
        self.failed, self._over = reason, True

    def refused(self, response: str) -> None:
        """The switch could not play it."""
        self._fail("not_played", response)

    def over(self, *, played: bool) -> str | None:
        """It was heard to its end, or was not; gives the reason why not."""
        self._over = True
        return self.failed if played else "cleared"
