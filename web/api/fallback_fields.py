"""The part ``fallback`` of an agent with a socket: what is done with a call whose agent fails it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError, validates_schema

from calls.numbers import parse_destination
from web.api.answer_fields import Answer
from web.api.answer_fields import text as words
from web.api.fields import Choice, Fault, Request, Telephone
from web.api.script_fields import Words, audio_file

#: Each action with the fields of which it takes exactly one.
FIELDS: Mapping[str, tuple[str, ...]] = {"hangup": (), "announcement": ("audio", "text"), "transfer": ("to",)}
ACTIONS = tuple(FIELDS)


class FallbackRequest(Request):
    """Whoever has picked up, or has called, hears a file or a text, and the call ends; or is put through to a number."""

    action = Choice(ACTIONS, required=True)
    audio = audio_file(description="announcement: file name")
    text = Words(metadata={"description": "announcement: words to be spoken, in place of audio", "example": "We are sorry"})
    to = Telephone(
        parse_destination,
        metadata={"description": "transfer: who is rung; transfer_to need not name it", "example": "+442079460000"},
    )

    @validates_schema(skip_on_field_errors=True)
    def _fits(self, data: dict[str, Any], **_: Any) -> None:
        action, faults = data["action"], {}
        wanted = FIELDS[action]
        given = [name for name in wanted if name in data]
        if wanted and not given:
            either = " or ".join(wanted)
            faults[wanted[0]] = [Fault("required", f"is required for action {action}: give {either}")]
        for name in given[1:]:
            faults[name] = [Fault("conflict", f"stands beside {given[0]}; give one of the two")]
        for other, names in FIELDS.items():
            for name in names:
                if other != action and name in data:
                    faults[name] = [Fault("not_allowed", f"belongs to action {other}; leave it out")]
        if faults:
            raise ValidationError(faults)


class FallbackAnswer(Answer):
    """What is done with a call whose agent fails it."""

    action = words("what is done", enum=list(ACTIONS))
    audio = words("announcement: file", null=True)
    text = words("announcement: words, in place of audio", null=True)
    to = words("transfer: who is rung", null=True)


def shown(fallback: Mapping[str, Any] | None) -> dict[str, Any]:
    """As :class:`FallbackAnswer`."""
    return {"action": "hangup", "audio": None, "text": None, "to": None, **(fallback or {})}
