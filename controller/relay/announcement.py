"""An agent without a machine behind it: a file is played on the answer, then the call ends."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID, uuid5

from controller.frames import text_of
from controller.relay.earpiece import MediaConnection
from controller.relay.leg import Ending, Failed, Leg
from controller.relay.pickup import pick_up
from controller.relay.recorder import Recorder
from store.relay import RelayCall

_NAMESPACE = UUID("5b2b8a0e-8f0b-4a9e-9a60-0f8d2a6f3c11")
_PLAYED = "FILE PLAYED"


class Announcement:
    """Plays ``<announcement_dir>/<audio>`` once.

    The playback's id follows from the attempt's, so a relay started in mid-call knows the end when it hears of it.
    """

    def __init__(self, leg: Leg, call: RelayCall, recorder: Recorder) -> None:
        self._leg = leg
        self._recorder = recorder
        self._call = call
        self._audio = call.agent_audio
        self._playback = str(uuid5(_NAMESPACE, str(leg.attempt)))

    async def run(self) -> None:
        leg = self._leg
        directory = leg.parts.settings.announcement_dir
        if not directory or not self._audio:
            raise Failed("announcement_missing", "set TRUNKLINE_ANNOUNCEMENT_DIR to where the switch finds the audio")
        await pick_up(leg, self._call)
        await leg.playable()
        if leg.resumed and await self._left_behind():
            return
        await self._recorder.answered()
        settings = leg.parts.settings
        try:
            await leg.parts.switch.wait_up(settings.esl_backoff_max_s + settings.esl_connect_timeout_s)
        except TimeoutError:
            raise Failed("switch_link_lost", "no link to the switch to play the announcement by") from None
        leg.parts.switch.play(leg.attempt, Path(directory) / self._audio, self._playback)
        await leg.ended()

    async def _left_behind(self) -> bool:
        """Whether an earlier relay began the playback already; one that is over ends the call."""
        leg = self._leg
        channel = await leg.parts.switch.look(leg.attempt)
        if channel is None:
            leg.hung_up(None, None)
            return True
        if text_of(channel, "variable_current_application") != "playback":
            return False
        if not (text_of(channel, "variable_current_application_data") or "").endswith(f"/{self._audio}"):
            return False  # it is the notice's, after which the announcement would have come
        response = text_of(channel, "variable_current_application_response")
        if response is not None:
            self.on_played(self._playback, response, 0.0)
        await leg.ended()
        return True

    @property
    def flows(self) -> bool:
        """As soon as it is played: the switch reads the file by itself."""
        return self._leg.answered.is_set()

    async def stop(self, ending: Ending) -> None:
        """Nobody is to be told."""

    async def serve_fork(self, fork: MediaConnection) -> None:
        """An announcement hears nothing."""
        await fork.close(1008, "an announcement has no media socket")

    def on_fork_failed(self) -> None:
        """There is none."""

    def on_dtmf(self, digit: str, duration_ms: int | None) -> None:
        """Nobody listens."""

    def on_playback(self, playback: str, at: float) -> None:
        """The callee hears it."""
        if self._audio and playback.endswith("/" + self._audio):
            self._leg.heard(at)

    def on_others_played(self, at: float) -> bool:  # noqa: ARG002
        """None is: the end of the announcement is the end of the call."""
        return True

    def on_played(self, playback: str, response: str, at: float) -> None:  # noqa: ARG002
        """The end of the call, for better or worse."""
        self._recorder.on_played(playback, response)
        if playback != self._playback:
            return
        if response == _PLAYED:
            self._leg.end(Ending("announcement_played", "platform", kill=True))
        else:
            self._leg.note("relay.failed", {"reason": "announcement_failed", "detail": response})
            self._leg.end(Ending("announcement_failed", "platform", kill=True))
