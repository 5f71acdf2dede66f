"""How an agent is spoken to. The conversation means the same in every dialect; what is written on the socket differs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from websockets.typing import Subprotocol

from calls.ids import call_ref
from controller.relay import protocol
from controller.relay.audio import SAMPLE_RATE
from controller.relay.resample import Doubler, Halver
from controller.relay.twilio import Twilio
from store.relay import RelayCall

#: Bytes of 16 kHz that are filtered in one; half a millisecond.
PIECE_BYTES = 16_384


@dataclass(frozen=True, slots=True)
class Facts:
    """What an agent is told at the start of what others do: as :func:`controller.relay.protocol.start` has it."""

    recording: Mapping[str, Any] | None = None
    greeting: Mapping[str, Any] | None = None
    hold: Mapping[str, Any] | None = None


class Dialect(Protocol):
    """One socket's. What the agent cannot be told in a dialect is None, and is not told."""

    @property
    def subprotocols(self) -> Sequence[Subprotocol]:
        """What the socket is asked for with."""
        ...

    @property
    def begins_on_answer(self) -> bool:
        """The agent is ready when it is connected, and is told nothing but the greeting before the answer."""
        ...

    def greeting(self) -> str:
        """The first text, as soon as the socket is there."""
        ...

    def answered(self, at: datetime) -> str:
        """The phone was picked up at ``at``; comes before any audio."""
        ...

    def audio(self, pcm: bytes) -> str | bytes:
        """What the callee said: L16, 8 kHz."""
        ...

    def mark(self, name: str, *, played: bool) -> str | None:
        """The mark was reached, or its audio was thrown away."""
        ...

    def greeted(self, reason: str | None) -> str | None:
        """The greeting was heard; or was not, for that reason."""
        ...

    def dtmf(self, digit: str, duration_ms: int | None) -> str | None:
        """The callee pressed a key."""
        ...

    def recording(self, *, on: bool, reason: str | None) -> str | None:
        """The call is recorded from now on, or will not be."""
        ...

    def error(self, code: str, detail: str) -> str | None:
        """What the agent sent was not understood or not carried out."""
        ...

    def transfer(self, name: str, status: str, reason: str | None) -> str | None:
        """What becomes of a transfer."""
        ...

    def hold(self, *, on: bool, by: str | None, name: str | None, audio: str | None) -> str | None:
        """The call is on hold, or is not any more."""
        ...

    def stop(self, reason: str, *, by: str | None, cause: str | None) -> str | None:
        """The last text."""
        ...

    def parse(self, frame: str | bytes) -> list[protocol.Message]:
        """The messages in one WebSocket message of the agent; their audio is L16, at the socket's rate. Raises
        :class:`protocol.ProtocolError`.
        """
        ...

    def size(self, pcm: bytes) -> int:
        """Bytes of that audio at 8 kHz, if it comes next."""
        ...

    def pieces(self, message: protocol.Message) -> Iterator[protocol.Message]:
        """What is to be carried out of ``message``, in order; its audio at 8 kHz. Each is made when it is asked for, so that
        others may have their turn between two.
        """
        ...


class Ours:
    """docs/agent-protocol.md, version 1."""

    subprotocols = (Subprotocol(protocol.SUBPROTOCOL),)
    begins_on_answer = False

    def __init__(
        self,
        call: RelayCall,
        facts: Facts,
        *,
        resumed: bool,
        runtime: Mapping[str, Any] | None,
    ) -> None:
        self._start = protocol.start(
            call=call_ref(call.call_id),
            attempt=call.attempt_id,
            to=call.to_number,
            from_=call.from_number,
            variables=call.agent_variables,
            metadata=call.metadata,
            direction=call.direction,
            resumed=resumed,
            sample_rate=call.agent_sample_rate,
            recording=facts.recording,
            greeting=facts.greeting,
            hold=facts.hold,
            runtime=runtime,
        )
        wide = call.agent_sample_rate != SAMPLE_RATE
        self._up = Doubler() if wide else None
        self._down = Halver() if wide else None

    def greeting(self) -> str:
        return self._start

    def answered(self, at: datetime) -> str:
        return protocol.answered(at)

    def audio(self, pcm: bytes) -> str | bytes:
        return pcm if self._up is None else self._up.feed(pcm)

    def mark(self, name: str, *, played: bool) -> str | None:
        return protocol.mark(name, played=played)

    def greeted(self, reason: str | None) -> str | None:
        return protocol.greeting(played=reason is None, reason=reason)

    def dtmf(self, digit: str, duration_ms: int | None) -> str | None:
        return protocol.dtmf(digit, duration_ms)

    def recording(self, *, on: bool, reason: str | None) -> str | None:
        return protocol.recording(on=on, reason=reason)

    def error(self, code: str, detail: str) -> str | None:
        return protocol.error(code, detail)

    def transfer(self, name: str, status: str, reason: str | None) -> str | None:
        return protocol.transfer(name, status, reason)

    def hold(self, *, on: bool, by: str | None, name: str | None, audio: str | None) -> str | None:
        return protocol.hold(on=on, by=by, name=name, audio=audio)

    def stop(self, reason: str, *, by: str | None, cause: str | None) -> str | None:
        return protocol.stop(reason, by=by, cause=cause)

    def parse(self, frame: str | bytes) -> list[protocol.Message]:
        return protocol.parse(frame)

    def size(self, pcm: bytes) -> int:
        return len(pcm) if self._down is None else self._down.size(len(pcm))

    def pieces(self, message: protocol.Message) -> Iterator[protocol.Message]:
        if self._down is None:
            yield message
        elif isinstance(message, protocol.Media):
            for at in range(0, len(message.pcm), PIECE_BYTES):
                yield protocol.Media(self._down.feed(message.pcm[at : at + PIECE_BYTES]))
        else:
            if isinstance(message, protocol.Clear):
                self._down = Halver()  # of what was cleared nothing is to come
            yield message


def dialect_for(call: RelayCall, facts: Facts, *, resumed: bool, runtime: Mapping[str, Any] | None) -> Dialect:
    """A new one, for one socket to the call's agent. ``resumed``: the call was under way already. ``runtime``: as
    :func:`controller.relay.protocol.start` has it.
    """
    if call.agent_protocol == "twilio":
        return Twilio(call, resumed=resumed, greeting=facts.greeting, runtime=runtime)
    return Ours(call, facts, resumed=resumed, runtime=runtime)
