"""An announcement of several parts, texts among them, and the menu of keys behind it: played by the switch, heard by us."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from calls.script import REPEATS, WAIT_S, NotSpeakable, Outcome, Part, choice, filled, parts_of
from controller.frames import text_of
from controller.relay.audio import longest_s
from controller.relay.earpiece import MediaConnection
from controller.relay.leg import Ending, Failed, Leg
from controller.relay.pickup import pick_up
from controller.relay.recorder import Recorder
from controller.relay.speech import SpeechFailed
from store.relay import RelayCall

_PLAYED = "FILE PLAYED"
#: s; beyond the length of what is played, until the switch is asked what became of it.
_LATE_S = 3.0
_OUTCOMES: Mapping[str, Outcome] = {"confirm": "confirmed", "opt_out": "opted_out"}


class Script:
    """See :class:`controller.relay.leg.Talk`. A relay that takes the call up on its way begins again at the beginning,
    unless the callee has chosen already.
    """

    def __init__(self, leg: Leg, call: RelayCall, recorder: Recorder) -> None:
        self._leg = leg
        self._call = call
        self._recorder = recorder
        self._menu: Mapping[str, Any] | None = call.agent_menu
        audio: list[Part] = [{"audio": call.agent_audio}] if call.agent_audio else []
        self._script: Sequence[Part] = call.agent_script or audio
        self._spoken: dict[str, Path] = {}  # by the words
        self._keys: asyncio.Queue[str] = asyncio.Queue()
        self._playing: dict[str, asyncio.Future[None]] = {}  # by the playback's id; done when it was heard to its end
        self._paths: set[str] = set()
        self._heard = False

    async def run(self) -> None:
        leg, settings = self._leg, self._leg.parts.settings
        if not settings.announcement_dir and any("audio" in part for part in parts_of(self._script, self._menu)):
            raise Failed("announcement_missing", "set TRUNKLINE_ANNOUNCEMENT_DIR to where the switch finds the audio")
        await self._speak_all()
        await pick_up(leg, self._call)
        await leg.playable()
        try:
            await leg.parts.switch.wait_up(settings.esl_backoff_max_s + settings.esl_connect_timeout_s)
        except TimeoutError:
            raise Failed("switch_link_lost", "no link to the switch to play the announcement by") from None
        if leg.resumed:
            leg.parts.switch.break_all(leg.attempt)  # what the relay before had begun
        await self._recorder.answered()
        if self._call.menu is None:
            await self._say_all()
        leg.end(Ending("announcement_played", "platform", kill=True))
        await leg.ended()

    async def _say_all(self) -> None:
        menu = self._menu
        if menu is None:
            await self._say(self._script)
            return
        left = int(menu.get("repeats", REPEATS))
        while True:
            key = await self._heard_out(menu)
            what = None if key is None else choice(menu, key)
            if what == "repeat":
                continue
            if what is not None:
                await self._chosen(_OUTCOMES[what], key)
                return
            left -= 1
            if left < 0:
                await self._chosen("no_key", None)
                return

    async def _heard_out(self, menu: Mapping[str, Any]) -> str | None:
        """Say the script and wait for a key that means something, also while it is said; None: none came in time."""
        said = asyncio.create_task(self._say(self._script))
        key = asyncio.create_task(self._key(menu))
        try:
            await asyncio.wait([said, key], return_when=asyncio.FIRST_COMPLETED)
            if not key.done():
                await said
                await asyncio.wait([key], timeout=float(menu.get("wait_s", WAIT_S)))
            elif not said.done():
                self._leg.parts.switch.break_all(self._leg.attempt)
            return key.result() if key.done() else None
        finally:
            for task in (said, key):
                task.cancel()
            await asyncio.wait([said, key])

    async def _key(self, menu: Mapping[str, Any]) -> str:
        while choice(menu, key := await self._keys.get()) is None:
            continue
        return key

    async def _chosen(self, outcome: Outcome, key: str | None) -> None:
        """On record before it is thanked for: who opts out is called no more, whatever becomes of this call."""
        await self._leg.parts.book.chosen(self._leg.attempt, outcome, key, datetime.now(UTC))
        after = (self._menu or {}).get(outcome)
        if after:
            await self._say(after)

    async def _speak_all(self) -> None:
        limit = self._leg.parts.settings.tts_call_timeout_s
        try:
            async with asyncio.timeout(limit):
                await self._speak_each()
        except TimeoutError:
            raise Failed(
                "announcement_failed", f"its texts, and other calls' before them, took longer than {limit:g} s to speak"
            ) from None

    async def _speak_each(self) -> None:
        leg, settings = self._leg, self._leg.parts.settings
        for part in parts_of(self._script, self._menu):
            if "text" not in part or part["text"] in self._spoken:
                continue
            try:
                words = filled(part["text"], self._call.agent_variables)
                path = leg.parts.files.place(leg.attempt, len(self._spoken))
                await leg.parts.spoken.write(settings, self._call.agent_voice, words, path)
            except NotSpeakable as error:
                raise Failed("announcement_missing", f"agent_variables.{error.name}: {error}") from error
            except (SpeechFailed, OSError) as error:
                raise Failed("announcement_failed", str(error)) from error
            self._spoken[part["text"]] = path

    async def _say(self, parts: Sequence[Part]) -> None:
        """Queue them all, one behind the other without a gap, and wait until the last was heard. Raises :class:`Failed`.

        What the switch told while its link was down is lost: who has heard of no end in time asks for it.
        """
        leg, wait_s, path = self._leg, _LATE_S, Path()
        heard: dict[str, asyncio.Future[None]] = {}
        self._playing = heard
        for part in parts:
            if "text" in part:
                path = self._spoken[part["text"]]
            else:
                path = Path(leg.parts.settings.announcement_dir) / part["audio"]
            playback = str(uuid4())
            heard[playback] = asyncio.get_running_loop().create_future()
            self._paths.add(str(path))
            leg.parts.switch.play(leg.attempt, path, playback)
            wait_s += longest_s(path)
        try:
            while heard:
                done, waits = await asyncio.wait(heard.values(), timeout=wait_s, return_when=asyncio.FIRST_EXCEPTION)
                errors = [error for end in done if (error := end.exception()) is not None]
                if errors:
                    raise errors[0]
                if not waits or not await self._plays_on(path):
                    return
                wait_s = _LATE_S
        finally:
            for end in heard.values():
                end.cancel()

    async def _plays_on(self, last: Path) -> bool:
        """Ask the switch: False, ``last`` was played to its end; True, something plays. Raises :class:`Failed`: neither."""
        leg, settings = self._leg, self._leg.parts.settings
        try:
            await leg.parts.switch.wait_up(settings.esl_backoff_max_s + settings.esl_connect_timeout_s)
        except TimeoutError:
            raise Failed("switch_link_lost", "no link to the switch to ask what became of the announcement") from None
        channel = await leg.parts.switch.look(leg.attempt)
        if channel is None:
            leg.hung_up(None, None)
            await leg.ended()
            return False
        played = text_of(channel, "variable_current_application") == "playback"
        response = text_of(channel, "variable_current_application_response")
        if played and response is None:
            return True
        ours = (text_of(channel, "variable_current_application_data") or "").endswith(f"/{last.name}")
        if played and ours and response == _PLAYED:
            return False
        raise Failed("announcement_failed", f"no word of the end of {last.name}, and the switch does not play it")

    @property
    def flows(self) -> bool:
        """It needs no media socket, and hears keys by the event link."""
        return self._leg.answered.is_set()

    async def stop(self, ending: Ending) -> None:
        """Nobody is to be told."""

    async def serve_fork(self, fork: MediaConnection) -> None:
        """It hears keys alone."""
        await fork.close(1008, "an announcement has no media socket")

    def on_fork_failed(self) -> None:
        """There is none."""

    def on_dtmf(self, digit: str, duration_ms: int | None) -> None:  # noqa: ARG002
        """A key may be a choice."""
        self._keys.put_nowait(digit)

    def on_playback(self, playback: str, at: float) -> None:
        """The callee hears it."""
        if playback in self._paths and not self._heard:
            self._heard = True
            self._leg.heard(at)

    def on_others_played(self, at: float) -> bool:  # noqa: ARG002
        """None is: the end of the announcement is the end of the call."""
        return True

    def on_played(self, playback: str, response: str, at: float) -> None:  # noqa: ARG002
        """One part is over; one that was cut off for a choice is not waited for any more."""
        if self._recorder.on_played(playback, response):
            return
        waits = self._playing.get(playback)
        if waits is None or waits.done():
            return
        if response == _PLAYED:
            waits.set_result(None)
        else:
            waits.set_exception(Failed("announcement_failed", response))
