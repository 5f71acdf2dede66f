"""The second leg of a transfer: whoever answers it is put through to the first one's party. No agent talks to them."""

from __future__ import annotations

from controller.frames import Event, text_of
from controller.relay.earpiece import MediaConnection
from controller.relay.leg import Ending, Failed, Leg
from controller.relay.recorder import Recorder
from store.relay import RelayCall


def put_through(channel: Event) -> bool:
    """The channel hears another one: what it was answered for is over."""
    return text_of(channel, "variable_signal_bond") is not None


class Handover:
    """See :class:`controller.relay.leg.Talk`. Once the two hear each other the switch ends each with the other."""

    def __init__(self, leg: Leg, call: RelayCall, recorder: Recorder) -> None:  # noqa: ARG002
        self._leg = leg
        self._first = call.first_attempt

    async def run(self) -> None:
        leg, settings = self._leg, self._leg.parts.settings
        if self._first is None:
            raise Failed("transfer_over", "whoever was to be put through has hung up")
        await leg.playable()
        try:
            await leg.parts.switch.wait_up(settings.esl_backoff_max_s + settings.esl_connect_timeout_s)
        except TimeoutError:
            raise Failed("switch_link_lost", "no link to the switch to put them through by") from None
        sounding, through = leg.parts.sounding.get(self._first), False
        if sounding is not None:
            sounding.pause()  # until it is told that it is over, it would be heard in the middle of their talk
        leg.parts.switch.break_all(self._first)  # and so would what waits to be played
        try:
            refused = await leg.parts.switch.bridge(self._first, leg.attempt)
            through = refused is None
        finally:
            if sounding is not None and not through:
                sounding.go_on()
        if refused is not None:
            raise Failed("transfer_over", f"the switch does not put them through: {refused}")
        leg.note("relay.put_through", {"first_attempt": str(self._first)})
        leg.parts.book.put_through(leg.attempt)
        await leg.ended()

    @property
    def flows(self) -> bool:
        """The switch joins them by itself once they are; before, it is the next relay's."""
        return False

    async def stop(self, ending: Ending) -> None:
        """Nobody is to be told."""

    async def serve_fork(self, fork: MediaConnection) -> None:
        """Nobody listens."""
        await fork.close(1008, "a leg that is put through has no media socket")

    def on_fork_failed(self) -> None:
        """There is none."""

    def on_dtmf(self, digit: str, duration_ms: int | None) -> None:
        """The switch passes it on."""

    def on_playback(self, playback: str, at: float) -> None:
        """None of ours."""

    def on_others_played(self, at: float) -> bool:  # noqa: ARG002
        """It was heard."""
        return True

    def on_played(self, playback: str, response: str, at: float) -> None:
        """None of ours."""
