"""Applications on a channel: park, playback with its queue, break, and the small ones (mod_dptools)."""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lab.audio import pcm
from lab.switch import causes
from lab.switch.recording import Recording

if TYPE_CHECKING:
    from lab.switch.channel import Channel

BROADCAST_LEAD_S = 0.18  # measured before every uuid_broadcast starts
_INSTANT = {
    "set",
    "export",
    "unset",
    "sched_hangup",
    "log",
    "info",
    "hangup",
    "answer",
    "pre_answer",
    "send_dtmf",
    "record_session",
    "stop_record_session",
    "park",
    "flush_dtmf",
    "multiset",
    "event",
    "presence",
    "sched_cancel",
    "ring_ready",
    "respond",
    "limit",
}
_PLAYING = {"playback", "endless_playback", "sleep", "gentones", "silence"}


@dataclass(slots=True)
class Execution:
    """One application run. `frames` is what the callee hears of it."""

    name: str
    argument: str
    uuid: str
    locked: bool = False
    lead_ticks: int = 0
    frames: list[bytes] = field(default_factory=list)
    at: int = 0
    response: str = "_none_"
    opened: bool = False
    endless: bool = False


class Apps:
    """The channel's own thread: runs what is queued, one 20 ms tick at a time."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._queue: deque[Execution] = deque()
        self._stack: list[Execution] = []
        self._park: Execution | None = None
        self._break = False
        self.current = ""
        self.on_answer: Callable[[], None] = _nothing
        self.on_ring: Callable[[], None] = _nothing

    @property
    def busy(self) -> bool:
        return bool(self._queue or self._stack)

    @property
    def sends(self) -> bool:
        """Whether the callee gets frames: of what plays, or, parked, of silence (send_silence_when_idle)."""
        return bool(self._stack) or (
            self._park is not None and self._channel.switch.globals["send_silence_when_idle"] != "0"
        )

    def start(self, name: str, argument: str) -> None:
        """The application of the originate; park afterwards is what keeps a leg alive."""
        if name == "park":
            self.park()
        else:
            self.queue(name, argument, "", locked=False)
            self.queue("hangup", "NORMAL_CLEARING", "", locked=False)

    def park(self) -> None:
        """The leg comes here 10 to 20 ms after its answer; what began to play before is cut off on the way."""
        self._take()
        while self._stack:
            self._stop(self._stack.pop(), "done", cut_off=True)
        self.current = "park"
        self._park = Execution("park", "", str(uuid.uuid4()))
        self._executing(self._park)
        self._channel.fire("CHANNEL_PARK")
        if self.busy:
            self._channel.switch.media.watch(self._channel)

    def queue(self, name: str, argument: str, event_uuid: str, *, locked: bool, loops: int = 1, lead_s: float = 0.0) -> None:
        """A private event: taken up at the next tick, or after what holds the lock."""
        for _ in range(max(1, loops)):
            self._queue.append(
                Execution(name, argument, event_uuid or str(uuid.uuid4()), locked, round(lead_s / pcm.FRAME_S))
            )
        self._channel.switch.media.watch(self._channel)

    def request_break(self, *, everything: bool) -> None:
        """uuid_break: the running playback stops at the next tick; `all` also flushes the queue."""
        if everything:
            self._queue.clear()
        if self._stack:
            self._break = True

    def run_inline(self, name: str, argument: str) -> None:
        """execute_on_answer and its like: instant applications between two other events."""
        execution = Execution(name, argument, str(uuid.uuid4()))
        self._executing(execution)
        if self._instant(execution):
            self._complete(execution)

    def leave(self) -> None:
        """The channel goes into a bridge: what plays is cut off, and the park is over."""
        self._queue.clear()
        response = "_none_"
        while self._stack:
            self._stop(self._stack.pop(), "break", cut_off=True)
            response = "PLAYBACK ERROR"
        if self._park is not None:
            park, self._park = self._park, None
            self._channel.fire("CHANNEL_UNPARK")
            park.response = response
            self._complete(park)

    def abort(self) -> None:
        """The channel hung up: whatever runs is completed, the park last."""
        self._queue.clear()
        while self._stack:
            self._stop(self._stack.pop(), "break")
        if self._park is not None:
            park, self._park = self._park, None
            self._channel.fire("CHANNEL_UNPARK")
            park.response = self._channel.vars.get("current_application_response", "_none_")
            self._complete(park)
        self.current = ""

    def tick(self) -> bytes | None:
        """Advance 20 ms; the frame the callee hears, None = silence."""
        if self._break and self._stack:
            self._break = False
            self._stop(self._stack.pop(), "break")
        self._take()
        while self._stack:
            running = self._stack[-1]
            if running.at < len(running.frames):
                frame = running.frames[running.at]
                running.at += self._speed
                return frame
            if running.endless and running.frames:
                running.at = 0
                continue
            self._stop(self._stack.pop(), "done")
            self._take()
        return None

    @property
    def _speed(self) -> int:
        return max(1, round(1 / self._channel.switch.config.time_scale))

    def _take(self) -> None:
        """Start what is queued, unless something holds the event lock."""
        while self._queue and not (self._stack and self._stack[-1].locked):
            if self._queue[0].lead_ticks > 0:
                self._queue[0].lead_ticks -= 1
                return
            if self._channel.hungup:
                return
            execution = self._queue.popleft()
            if execution.name not in _PLAYING | _INSTANT:
                self._channel.hangup("DESTINATION_OUT_OF_ORDER")  # as there: an unknown application costs the call
                return
            self._channel.vars.update({"current_loop": "1", "total_loops": "1"})
            self._executing(execution)
            if execution.name in _PLAYING:
                self._open(execution)
            elif self._instant(execution):
                self._complete(execution)

    def _executing(self, execution: Execution) -> None:
        variables = self._channel.vars
        variables.pop("current_application_response", None)
        variables["current_application"] = execution.name
        variables.pop("current_application_data", None)
        if execution.argument:
            variables["current_application_data"] = execution.argument
        self._channel.last_app, self._channel.last_arg = execution.name, execution.argument
        self._channel.fire("CHANNEL_EXECUTE", back=self._application(execution))

    def _application(self, execution: Execution) -> list[tuple[str, str]]:
        pairs = [("Application", execution.name)]
        if execution.argument:
            pairs.append(("Application-Data", execution.argument))
        return [*pairs, ("Application-UUID", execution.uuid)]

    def _complete(self, execution: Execution) -> None:
        variables = self._channel.vars
        if execution.response != "_none_":
            variables["current_application_response"] = execution.response
        pairs = self._application(execution)
        pairs.insert(len(pairs) - 1, ("Application-Response", execution.response))
        self._channel.fire("CHANNEL_EXECUTE_COMPLETE", back=pairs)
        variables.pop("current_loop", None)
        variables.pop("total_loops", None)

    def _open(self, execution: Execution) -> None:
        if execution.name == "sleep":
            milliseconds = int(execution.argument) if execution.argument.isdigit() else 0
            execution.frames = pcm.frames(pcm.silence(milliseconds / 1000))
            self._stack.append(execution)
            return
        try:
            sound, kind = _sound(
                execution.argument if execution.name != "gentones" else f"tone_stream://{execution.argument}"
            )
        except (OSError, ValueError):
            execution.response = "FILE NOT FOUND"
            self._complete(execution)
            return
        execution.frames = pcm.frames(sound)
        execution.endless = execution.name == "endless_playback"
        execution.opened = True
        self._stack.append(execution)
        self._channel.fire("PLAYBACK_START", back=self._playback(execution, kind))

    def _playback(self, execution: Execution, kind: str) -> list[tuple[str, str]]:
        pairs = [("Playback-File-Type", kind)] if kind else []
        return [*pairs, ("Playback-File-Path", execution.argument)]

    def _stop(self, execution: Execution, status: str, *, cut_off: bool = False) -> None:
        if execution.opened:
            played = min(execution.at, len(execution.frames)) * 160
            samples = played if status == "done" else len(execution.frames) * 160
            self._channel.vars.update(
                {
                    "playback_last_offset_pos": str(played),
                    "playback_seconds": str(samples // 8000),
                    "playback_ms": str(samples // 8),
                    "playback_samples": str(samples),
                }
            )
            scheme, slashes, _ = execution.argument.partition("://")
            pairs = self._playback(execution, scheme if slashes else "")
            self._channel.fire("PLAYBACK_STOP", back=[*pairs, ("Playback-Status", status)])
            execution.response = "PLAYBACK ERROR" if cut_off else "FILE PLAYED"
        self._complete(execution)

    def _event(self, argument: str) -> None:
        """`Event-Name=CUSTOM,Event-Subclass=a::b,Name=value`: an event of the channel with these headers."""
        given = [(name, value) for name, _, value in (word.partition("=") for word in argument.split(","))]
        named = dict(given)
        more = [pair for pair in given if pair[0] not in ("Event-Name", "Event-Subclass")]
        name = named.get("Event-Name", "CHANNEL_APPLICATION")
        self._channel.fire(name, back=more, subclass=named.get("Event-Subclass", ""))

    def _instant(self, execution: Execution) -> bool:
        """Run an application that takes no time. False when the channel is gone by it."""
        channel, argument = self._channel, execution.argument
        if execution.name in ("set", "export"):
            name, _, value = argument.partition("=")
            channel.vars[name] = value
            if name == "presence_data":
                channel.presence = value
        elif execution.name == "unset":
            channel.vars.pop(argument, None)
        elif execution.name == "sched_hangup":
            when, _, cause = argument.partition(" ")
            schedule_hangup(channel, when, causes.from_text(cause) if cause else "ALLOTTED_TIMEOUT")
        elif execution.name == "sched_cancel":
            channel.unschedule()
        elif execution.name == "answer":
            self.on_answer()
        elif execution.name == "ring_ready":
            self.on_ring()
        elif execution.name == "event":
            self._event(argument)
        elif execution.name == "hangup":
            channel.hangup(causes.from_text(argument))
        elif execution.name == "record_session":
            Recording.start(channel, argument)
        elif execution.name == "stop_record_session" and argument in channel.recordings:
            channel.recordings[argument].stop()
        elif execution.name == "park" and self._park is None:
            self.park()
        elif execution.name not in _INSTANT and execution.name not in _PLAYING:
            # FreeSWITCH: "Invalid Application", and the channel is hung up.
            channel.hangup("DESTINATION_OUT_OF_ORDER")
            return False
        return not channel.hungup


def _nothing() -> None:
    """An outbound leg is answered by its other side."""


def schedule_hangup(channel: Channel, when: str, cause: str) -> None:
    """`+N` seconds from now, or an epoch second; 0 hangs up at once."""
    digits = when.lstrip("+")
    seconds = float(digits) if digits.replace(".", "", 1).isdigit() else 0.0
    delay = seconds if when.startswith("+") else seconds - channel.switch.wall_us() / 1_000_000
    if delay <= 0:
        channel.hangup(cause)
    else:
        channel.schedule(delay, cause)


def _sound(path: str) -> tuple[bytes, str]:
    """PCM at 8 kHz and Playback-File-Type (empty for a plain file). Raises OSError or ValueError."""
    scheme, slashes, rest = path.partition("://")
    if not slashes:
        return pcm.read_sound(path), ""
    if scheme == "tone_stream":
        return pcm.tone_stream(rest), scheme
    if scheme == "silence_stream":
        milliseconds = rest.split(",", 1)[0]
        return pcm.silence(int(milliseconds) / 1000 if milliseconds.isdigit() else 3600.0), scheme
    raise ValueError(f"no such file interface: {scheme}")
