"""Twilio Media Streams, the bidirectional kind, as Twilio documents it: a bot that was written for it connects unchanged.

Audio is G.711 mu-law of 8 kHz, base64 in JSON. The stream begins when somebody picks up, as it does there.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from calls.ids import call_ref
from controller.relay import protocol, ulaw
from controller.relay.audio import BYTES_PER_MS, SAMPLE_RATE
from controller.relay.protocol import ProtocolError
from controller.relay.texts import json_values
from store.relay import RelayCall


class Twilio:
    """See :class:`controller.relay.dialect.Dialect`. One stream: it counts what it says."""

    subprotocols = ()
    begins_on_answer = True

    def __init__(
        self,
        call: RelayCall,
        *,
        resumed: bool,
        greeting: Mapping[str, Any] | None,
        runtime: Mapping[str, Any] | None,
    ) -> None:
        self.stream_sid = f"MZ{call.attempt_id.hex}"
        self.call_sid = f"CA{call.call_id.hex}"
        self.account_sid = f"AC{call.tenant_id.hex}"
        self._parameters = parameters(call, resumed=resumed, greeting=greeting, runtime=runtime)
        self._said = 0
        self._chunks = 0
        self._sent = 0  # bytes of L16
        self._begun = False

    def _text(self, event: str, fields: Mapping[str, Any]) -> str:
        self._said += 1
        message = {"event": event, "sequenceNumber": str(self._said), "streamSid": self.stream_sid, **fields}
        return json.dumps(message, separators=(",", ":"))

    def greeting(self) -> str:
        return json.dumps({"event": "connected", "protocol": "Call", "version": "1.0.0"}, separators=(",", ":"))

    def answered(self, at: datetime) -> str:  # noqa: ARG002
        self._begun = True
        start = {
            "streamSid": self.stream_sid,
            "accountSid": self.account_sid,
            "callSid": self.call_sid,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": SAMPLE_RATE, "channels": 1},
            "customParameters": self._parameters,
        }
        return self._text("start", {"start": start})

    def audio(self, pcm: bytes) -> str | bytes:
        self._chunks += 1
        media = {
            "track": "inbound",
            "chunk": str(self._chunks),
            "timestamp": str(self._sent // BYTES_PER_MS),
            "payload": base64.b64encode(ulaw.encode(pcm)).decode("ascii"),
        }
        self._sent += len(pcm)
        return self._text("media", {"media": media})

    def mark(self, name: str, *, played: bool) -> str | None:  # noqa: ARG002
        return self._text("mark", {"mark": {"name": name}})  # it comes back also when a clear threw it away

    def greeted(self, reason: str | None) -> str | None:  # noqa: ARG002
        return None  # only of marks that it set itself does a bot know what they mean

    def dtmf(self, digit: str, duration_ms: int | None) -> str | None:  # noqa: ARG002
        return self._text("dtmf", {"dtmf": {"track": "inbound_track", "digit": digit}})

    def recording(self, *, on: bool, reason: str | None) -> str | None:  # noqa: ARG002
        return None

    def error(self, code: str, detail: str) -> str | None:  # noqa: ARG002
        return None

    def transfer(self, name: str, status: str, reason: str | None) -> str | None:  # noqa: ARG002
        return None

    def hold(self, *, on: bool, by: str | None, name: str | None, audio: str | None) -> str | None:  # noqa: ARG002
        return None  # it hears silence

    def stop(self, reason: str, *, by: str | None, cause: str | None) -> str | None:  # noqa: ARG002
        if not self._begun:
            return None
        return self._text("stop", {"stop": {"accountSid": self.account_sid, "callSid": self.call_sid}})

    def parse(self, frame: str | bytes) -> list[protocol.Message]:
        if isinstance(frame, bytes):
            raise ProtocolError("bad_audio", "a binary message; send audio as a media text")
        try:
            values = json_values(frame, most=protocol.MAX_VALUES)
        except ValueError as error:
            raise ProtocolError("bad_json", str(error)) from error
        return [self._message(value) for value in values]

    def size(self, pcm: bytes) -> int:
        return len(pcm)

    def pieces(self, message: protocol.Message) -> Iterator[protocol.Message]:
        yield message

    def _message(self, value: object) -> protocol.Message:
        if not isinstance(value, dict):
            raise ProtocolError("bad_message", "a message is a JSON object with a field event")
        if value.get("streamSid") not in (None, self.stream_sid):
            raise ProtocolError("bad_message", f"streamSid: this stream is {self.stream_sid}")
        match value.get("event"):
            case "media":
                payload = _inner(value, "media").get("payload")
                if not isinstance(payload, str):
                    raise ProtocolError("bad_audio", "media.payload: give base64 text of mu-law samples")
                try:
                    return protocol.Media(ulaw.decode(base64.b64decode(payload, validate=True)))
                except ValueError as error:  # binascii.Error is one; text beyond ASCII is a plain one
                    raise ProtocolError("bad_audio", f"media.payload: not base64: {error}") from error
            case "mark":
                return protocol.Mark(protocol.mark_name(_inner(value, "mark").get("name"), "mark.name"))
            case "clear":
                return protocol.Clear()
            case event:
                # Bots send more than they should, and nobody there minds.
                raise ProtocolError(
                    "unknown_event", f"event: {protocol.shown(event)} is not media, mark or clear", ignore=True
                )


def _inner(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = value.get(name)
    if not isinstance(found, dict):
        raise ProtocolError("bad_message", f"{name}: give an object")
    return found


def parameters(
    call: RelayCall, *, resumed: bool, greeting: Mapping[str, Any] | None, runtime: Mapping[str, Any] | None
) -> dict[str, str]:
    """``customParameters``: the call's agent_variables, and what ours are told in ``start``, under names of our own; the
    numbers also where bots look for them. All are texts there; what is none is written as JSON.
    """
    given = {name: value if isinstance(value, str) else _json(value) for name, value in call.agent_variables.items()}
    numbers = {"from_number": call.from_number, "to_number": call.to_number}
    return (
        numbers
        | given
        | {
            "trunkline_call": call_ref(call.call_id),
            "trunkline_attempt": str(call.attempt_id),
            "trunkline_direction": call.direction,
            "trunkline_to": call.to_number,
            "trunkline_from": call.from_number,
            "trunkline_metadata": _json(call.metadata),
            "trunkline_resumed": _json(resumed),
            **({} if greeting is None else {"trunkline_greeting": _json(greeting)}),
            **({} if runtime is None else {"trunkline_runtime": _json(runtime)}),
        }
    )


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
