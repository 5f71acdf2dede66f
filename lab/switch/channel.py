"""One channel: its states, variables and events, its answer and its end. Who opened it is in outbound or inbound."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.audio import pcm
from lab.sip.sdp import MediaLine
from lab.switch import bridge, causes, cdr, headers, variables
from lab.switch.apps import Apps
from lab.switch.callee import Callee
from lab.switch.events import Pairs

if TYPE_CHECKING:
    from lab.switch.audio_fork import AudioFork
    from lab.switch.core import Switch
    from lab.switch.displace import Displace
    from lab.switch.inbound import InboundLeg
    from lab.switch.leg import InviteLeg
    from lab.switch.recording import Recording

STATE_NUMBERS = {
    "CS_NEW": 0,
    "CS_INIT": 1,
    "CS_ROUTING": 2,
    "CS_EXECUTE": 4,
    "CS_SOFT_EXECUTE": 3,
    "CS_EXCHANGE_MEDIA": 5,
    "CS_CONSUME_MEDIA": 7,
    "CS_HANGUP": 10,
    "CS_REPORTING": 11,
    "CS_DESTROY": 12,
    "CS_NONE": 13,
}
CALLSTATE_NUMBERS = {"DOWN": 0, "DIALING": 1, "RINGING": 2, "EARLY": 3, "ACTIVE": 4, "HELD": 5, "RING_WAIT": 6, "HANGUP": 7}
_DESTROY_AFTER_S = 0.015  # between the report and the moment the UUID is free again
_ports = itertools.cycle(range(20000, 29998, 2))


@dataclass(slots=True)
class Times:
    """Microseconds since the epoch, 0 = never."""

    created: int = 0
    answered: int = 0
    progress: int = 0
    progress_media: int = 0
    hangup: int = 0


class Channel:
    """`remote_end` says who ended it on the other side: bye, refused, redirect, or nothing."""

    def __init__(self, switch: Switch, channel_uuid: str, name: str, destination: str) -> None:
        self.switch = switch
        self.uuid = channel_uuid
        self.name = name
        self.destination = destination
        self.session_id = switch.next_session_id()
        self.vars: dict[str, str] = {}
        self.state, self.state_number = "CS_NONE", 1
        self.callstate = "DOWN"
        self.answer_state = "ringing"
        self.cause = ""
        self.direction = "outbound"
        self.hit_dialplan = False
        self.caller_name, self.caller_number = "", ""
        self.callee_name, self.callee_number = "Outbound Call", destination
        self.orig_name = self.orig_number = ""
        self.username = ""
        self.presence = ""
        self.network_addr = ""
        self.times = Times(created=switch.wall_us())
        self.has_media = False
        self.flipped = False
        self.hungup = False
        self.remote_end = ""
        self.last_app = self.last_arg = ""
        self.local_port = next(_ports)
        self.peer: tuple[str, int] = ("", 0)
        self.leg: InviteLeg | InboundLeg | None = None
        self.callee = Callee(self)
        self.apps = Apps(self)
        self.forks: dict[str, AudioFork] = {}
        self.recordings: dict[str, Recording] = {}
        self.displaced: dict[str, Displace] = {}
        self.originated: asyncio.Future[str] | None = None
        self.other: Channel | None = None  # bridged to it
        self._timers: list[asyncio.TimerHandle] = []
        self._scheduled: list[asyncio.TimerHandle] = []  # sched_hangup, which sched_cancel takes back

    def schedule(self, delay: float, cause: str) -> None:
        """`sched_hangup`."""
        self.later(delay, self.hangup, cause)
        self._scheduled.append(self._timers[-1])

    def unschedule(self) -> None:
        """`sched_cancel`: every hangup that was scheduled."""
        for timer in self._scheduled:
            timer.cancel()
        self._scheduled.clear()

    def later(self, delay: float, action: Callable[..., None], *arguments: object) -> None:
        """A timer that dies with the channel."""
        self._timers.append(self.switch.loop.call_later(delay, action, *arguments))

    def fire(
        self,
        name: str,
        front: Pairs | None = None,
        back: Pairs | None = None,
        *,
        verbose: bool = True,
        body: str | None = None,
        subclass: str = "",
    ) -> None:
        """`front` comes before the channel's headers, `back` after its variables (which `verbose` adds)."""

        def build() -> Pairs:
            pairs = (front or []) + self.headers()
            if verbose:
                pairs += [(f"variable_{key}", value) for key, value in self.vars.items()]
            return pairs + (back or [])

        self.switch.bus.fire(name, build, body=body, subclass=subclass)

    def headers(self) -> Pairs:
        return headers.basic(self) + headers.profile(self)

    def run_state(self, state: str, number: int | None = None) -> None:
        """CHANNEL_STATE; the number runs ahead of the name in places, as the real events show."""
        self.state = state
        self.state_number = STATE_NUMBERS[state] if number is None else number
        self.fire("CHANNEL_STATE", verbose=False)

    def set_callstate(self, callstate: str) -> None:
        if callstate == self.callstate:
            return
        before, self.callstate = self.callstate, callstate
        self.fire(
            "CHANNEL_CALLSTATE",
            [("Original-Channel-Call-State", before), ("Channel-Call-State-Number", str(CALLSTATE_NUMBERS[callstate]))],
            verbose=False,
        )

    def negotiate(self, media: MediaLine, negotiated: dict[str, str]) -> None:
        """Audio is agreed: from now on the channel has a codec (and may be forked)."""
        if self.has_media:
            return
        self.has_media = True
        self.vars.update(negotiated)
        self.callee.configure(media.lab)
        self.callee.connect(media)
        if self.callee.live:
            self.switch.media.watch(self)
        for _ in range(2):
            self.fire("CODEC", verbose=False)

    def mark_answered(self) -> None:
        """CHANNEL_ANSWER, execute_on_answer, api_on_answer, ACTIVE: in that order."""
        self.times.answered = self.switch.wall_us()
        self.answer_state = "answered"
        self.fire("CHANNEL_ANSWER")
        self.callee.answered()
        for value in [self.vars[name] for name in self.vars if name.startswith("execute_on_answer")]:
            name, _, argument = value.replace("::", " ", 1).partition(" ")
            self.apps.run_inline(name, argument)
        self.vars["endpoint_disposition"] = "ANSWER"
        for value in [self.vars[name] for name in self.vars if name.startswith("api_on_answer")]:
            self.switch.run_api_inline(value)
        self.set_callstate("ACTIVE")

    def settle(self, text: str) -> None:
        """What the originate answers; the first word counts."""
        if self.originated is not None and not self.originated.done():
            self.originated.set_result(text)

    def hangup(self, cause: str) -> None:
        """CHANNEL_HANGUP at once; the rest follows from the channel's own thread."""
        if self.hungup:
            return
        self.hungup = True
        self.cause = cause
        self.answer_state = "hangup"
        self.state_number = 10
        self.fire("CHANNEL_HANGUP")
        bridge.part(self)
        self._cancel_timers()
        self.switch.loop.call_soon(self._wind_down)

    @property
    def stuck(self) -> bool:
        """Its own thread waits in a read of a pipe, with the lock of its bugs."""
        return any(bug.stuck for bug in self.displaced.values())

    def _wind_down(self) -> None:
        if self.stuck:
            self.switch.loop.call_later(pcm.FRAME_S, self._wind_down)
            return
        if self.remote_end == "bye":
            self.vars["sip_hangup_disposition"] = "recv_bye"
        self.apps.abort()
        self.run_state("CS_HANGUP")
        self.times.hangup = self.switch.wall_us()
        for bug in list(self.displaced.values()):
            bug.stop()
        for fork in list(self.forks.values()):
            fork.close()
        for recording in list(self.recordings.values()):
            recording.stop()
        self.callee.stop()
        if self.leg is not None:
            self.leg.abandon()
        self.set_callstate("HANGUP")
        self.run_state("CS_REPORTING")
        self._report()
        # mod_json_cdr reports before the event is sent.
        if self.switch.cdrs.on and not self.switch.faults.lose_cdr():
            self.switch.cdrs.put(self.uuid, cdr.record(self))
        self.fire("CHANNEL_HANGUP_COMPLETE", [("Hangup-Cause", self.cause)])
        self.settle(f"-ERR {self.cause}\n")
        self.switch.loop.call_later(_DESTROY_AFTER_S, self._destroy)

    def _report(self) -> None:
        """Cause, times, and who ended it: send_bye, send_cancel, recv_bye, recv_refuse; of a caller also send_refuse and
        recv_cancel.
        """
        self.vars.update({"hangup_cause": self.cause, "hangup_cause_q850": str(causes.q850_of(self.cause))})
        self.vars.update(variables.of_report(self, self.times))
        if self.remote_end not in ("bye", "refused"):
            if self.times.answered:
                self.vars["sip_hangup_disposition"] = "send_bye"
            elif self.direction == "inbound":
                self.vars.update(variables.of_unanswered_caller(canceled=self.remote_end == "cancel"))
            else:  # also where the other side had been silent, or redirected
                self.vars.update(
                    {
                        "sip_hangup_disposition": "send_cancel",
                        "sip_invite_failure_status": "487",
                        "sip_invite_failure_phrase": "CANCEL",
                    }
                )
        if self.has_media:
            begin = self.times.answered or self.times.progress_media
            self.vars.update(variables.of_rtp((self.times.hangup - begin) / 1_000_000))

    def _destroy(self) -> None:
        self.state_number = 12
        self.fire("CHANNEL_DESTROY")
        self.switch.channels.pop(self.uuid, None)
        self.run_state("CS_DESTROY")
        self.switch.table.put(self.uuid, None)

    def _cancel_timers(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    def forget(self) -> None:
        """The process ends: no event, no SIP."""
        self._cancel_timers()
        self.callee.stop()
        self.hungup = True
        for bug in list(self.displaced.values()):
            bug.stop()
        for fork in list(self.forks.values()):
            fork.drop()

    def publish_row(self) -> None:
        self.switch.table.put(self.uuid, headers.row(self))
