"""What the relay and an agent say to each other: docs/agent-protocol.md, version 1. Parsing and building only."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from calls.ids import parse_ref
from calls.numbers import NumberError, parse_destination
from controller.relay.audio import BYTES_PER_MS, FRAME_MS, SAMPLE_RATE
from controller.relay.texts import json_values

VERSION = 1
SUBPROTOCOL = "trunkline.agent.v1"
#: Bytes; a longer message of an agent closes its socket. 1 MiB of base64 is 49 s of audio.
MAX_MESSAGE_BYTES = 1 << 20
MAX_MARK_CHARS = 128
#: JSON values in one text.
MAX_VALUES = 100
MAX_DIGITS = 32

_ID = re.compile(r"[\x21-\x7e]{1,128}")
_AUDIO = re.compile(r"[A-Za-z0-9_-]{1,100}[.]wav")
_DIGITS = re.compile(rf"[0-9A-D*#]{{1,{MAX_DIGITS}}}")


class ProtocolError(ValueError):
    """A message that is not of the protocol. ``code`` is for programs, the text names the field and the remedy. ``ignore``:
    it is passed over, however often it comes.
    """

    def __init__(self, code: str, detail: str, *, ignore: bool = False) -> None:
        super().__init__(detail)
        self.code = code
        self.ignore = ignore


@dataclass(frozen=True, slots=True)
class Ready:
    """The agent will talk: callee audio may flow."""


@dataclass(frozen=True, slots=True)
class Media:
    """Audio to play: L16, mono, whole samples, at the socket's rate."""

    pcm: bytes


@dataclass(frozen=True, slots=True)
class Mark:
    """Tell me when everything before this was played."""

    name: str


@dataclass(frozen=True, slots=True)
class Clear:
    """Stop playing at once and forget what is queued."""


@dataclass(frozen=True, slots=True)
class SendDtmf:
    """Send these digits to the callee."""

    digits: str


@dataclass(frozen=True, slots=True)
class Hangup:
    """End the call: now, or once everything sent so far was played."""

    after_playback: bool


@dataclass(frozen=True, slots=True)
class Notice:
    """All sent so far ends with the notice that the call is recorded: record from there on."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """Put the callee through to this number, or let the agent of this id talk on. ``id``: the asker's own name for it, under
    which it is asked for once.
    """

    id: str
    to: str | UUID


@dataclass(frozen=True, slots=True)
class Hold:
    """Let the callee hear this file of the announcement directory over and over (None: silence), and nothing of me.
    ``id``: as of :class:`Transfer`.
    """

    id: str
    audio: str | None


@dataclass(frozen=True, slots=True)
class Resume:
    """Let us hear each other again."""

    id: str


Message = Ready | Media | Mark | Clear | SendDtmf | Hangup | Notice | Transfer | Hold | Resume


def parse(frame: str | bytes) -> list[Message]:
    """The messages in one WebSocket message of an agent. Raises :class:`ProtocolError`."""
    if isinstance(frame, bytes):
        return [_media(frame)]
    try:
        values = json_values(frame, most=MAX_VALUES)
    except ValueError as error:
        raise ProtocolError("bad_json", str(error)) from error
    return [_message(value) for value in values]


def _media(pcm: bytes) -> Media:
    if len(pcm) % 2:
        raise ProtocolError("bad_audio", "audio: an odd number of bytes; send whole 16-bit samples")
    return Media(pcm)


def _message(value: object) -> Message:
    if not isinstance(value, dict):
        raise ProtocolError("bad_message", "a message is a JSON object with a field event")
    match value.get("event"):
        case "ready":
            return Ready()
        case "media":
            payload = value.get("payload")
            if not isinstance(payload, str):
                raise ProtocolError("bad_audio", "media.payload: give base64 text of L16 samples")
            try:
                return _media(base64.b64decode(payload, validate=True))
            except ValueError as error:  # binascii.Error is one; text beyond ASCII is a plain one
                raise ProtocolError("bad_audio", f"media.payload: not base64: {error}") from error
        case "mark":
            return Mark(mark_name(value.get("name"), "mark.name"))
        case "clear":
            return Clear()
        case "dtmf":
            digits = value.get("digits")
            if not isinstance(digits, str) or not _DIGITS.fullmatch(digits):
                raise ProtocolError("bad_message", f"dtmf.digits: give 1 to {MAX_DIGITS} of 0-9 A-D * #")
            return SendDtmf(digits)
        case "notice":
            return Notice()
        case "transfer":
            return _transfer(value)
        case "hold":
            audio = value.get("audio")
            if audio is not None and (not isinstance(audio, str) or not _AUDIO.fullmatch(audio)):
                raise ProtocolError(
                    "bad_message", "hold.audio: give the name of a .wav file in the announcement directory, or leave it out"
                )
            return Hold(_name(value, "hold"), audio)
        case "resume":
            return Resume(_name(value, "resume"))
        case "hangup":
            after = value.get("after_playback", False)
            if not isinstance(after, bool):
                raise ProtocolError("bad_message", "hangup.after_playback: give true or false")
            return Hangup(after)
        case event:
            raise ProtocolError(
                "unknown_event",
                f"event: {shown(event)} is not ready, media, mark, clear, dtmf, notice, transfer, hold, resume or hangup",
            )


def _name(value: Mapping[str, object], event: str) -> str:
    name = value.get("id")
    if not isinstance(name, str) or not _ID.fullmatch(name):
        raise ProtocolError("bad_message", f"{event}.id: give a name of 1 to 128 visible ASCII characters for it")
    return name


def _transfer(value: Mapping[str, object]) -> Transfer:
    name, to, agent = _name(value, "transfer"), value.get("to"), value.get("agent_id")
    if (to is None) == (agent is None) or not isinstance(to if agent is None else agent, str):
        raise ProtocolError("bad_message", "transfer: give to, an E.164 number such as +442079460000, or agent_id")
    if agent is not None:
        try:
            return Transfer(name, parse_ref("agent", str(agent)))
        except ValueError as error:
            raise ProtocolError("bad_message", f"transfer.agent_id: {error}") from error
    try:
        return Transfer(name, parse_destination(str(to)).e164)
    except NumberError as error:
        raise ProtocolError("bad_message", f"transfer.to: {error.detail}") from error


def mark_name(name: object, field: str) -> str:
    """``name``, if it may be a mark's. Raises :class:`ProtocolError`."""
    if not isinstance(name, str) or not 1 <= len(name) <= MAX_MARK_CHARS:
        raise ProtocolError("bad_message", f"{field}: give a text of 1 to {MAX_MARK_CHARS} characters")
    return name


def shown(value: object) -> str:
    """What an agent sent, in few words."""
    return ascii(value[:40]) if isinstance(value, str) else type(value).__name__


def _text(event: str, fields: Mapping[str, Any]) -> str:
    return json.dumps({"event": event, **fields}, separators=(",", ":"))


def start(
    *,
    call: str,
    attempt: UUID,
    to: str,
    from_: str,
    variables: Mapping[str, Any],
    metadata: Mapping[str, Any],
    direction: str,
    resumed: bool,
    sample_rate: int = SAMPLE_RATE,
    recording: Mapping[str, Any] | None = None,
    greeting: Mapping[str, Any] | None = None,
    hold: Mapping[str, Any] | None = None,
    runtime: Mapping[str, Any] | None = None,
) -> str:
    """The first text to an agent: whose call this is. ``direction``: outbound, or inbound where ``from_`` called ``to``.
    ``resumed``: the call was already under way. ``sample_rate``: of the audio, both ways. ``recording``: what it waits for
    and who gives the notice; None: it is not recorded. ``greeting``: what the callee hears at the answer, audio or text;
    None: nothing of the kind is to come. ``hold``: the call is on hold: id, by and audio of that.
    ``runtime``: where the agent may ask for its configuration, and by which token (controller/relay/runtime.py).
    """
    return _text(
        "start",
        {
            "version": VERSION,
            "call": {
                "id": call,
                "attempt": str(attempt),
                "direction": direction,
                "to": to,
                "from": from_,
                "variables": dict(variables),
                "metadata": dict(metadata),
            },
            "audio": {
                "encoding": "L16",
                "sample_rate": sample_rate,
                "channels": 1,
                "frame_bytes": FRAME_MS * BYTES_PER_MS * sample_rate // SAMPLE_RATE,
            },
            "resumed": resumed,
            "recording": None if recording is None else dict(recording),
            "greeting": None if greeting is None else dict(greeting),
            "hold": None if hold is None else dict(hold),
            "runtime": None if runtime is None else dict(runtime),
        },
    )


def answered(at: datetime) -> str:
    """The callee picked up at ``at``."""
    return _text("answered", {"at": at.isoformat()})


def mark(name: str, *, played: bool) -> str:
    """The mark was reached (``played``) or its audio was thrown away."""
    return _text("mark", {"name": name, "played": played})


def greeting(*, played: bool, reason: str | None) -> str:
    """The greeting is over: it was heard whole (``played``), or ``reason``."""
    return _text("greeting", {"played": played} | ({} if reason is None else {"reason": reason}))


def dtmf(digit: str, duration_ms: int | None) -> str:
    """The callee pressed a key."""
    return _text("dtmf", {"digit": digit} | ({} if duration_ms is None else {"duration_ms": duration_ms}))


def recording(*, on: bool, reason: str | None = None) -> str:
    """The call is recorded from now on, or will not be: ``reason``."""
    return _text("recording", {"on": on} | ({} if reason is None else {"reason": reason}))


def transfer(name: str, status: str, reason: str | None = None) -> str:
    """What became of a transfer; that somebody answered is told by ``stop``, reason transferred."""
    return _text("transfer", {"id": name, "status": status} | ({} if reason is None else {"reason": reason}))


def hold(*, on: bool, by: str | None, name: str | None, audio: str | None) -> str:
    """The call is on hold, or is not any more: by whose wish, and of what name."""
    return _text("hold", {"on": on, "by": by, "id": name} | ({"audio": audio} if on else {}))


def stop(reason: str, *, by: str | None, cause: str | None) -> str:
    """The last text: no audio flows any more."""
    return _text("stop", {"reason": reason, "by": by, "cause": cause})


def error(code: str, detail: str) -> str:
    """What the agent sent was not understood or not carried out."""
    return _text("error", {"code": code, "detail": detail})
