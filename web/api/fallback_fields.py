"""The part ``fallback`` of a websocket agent: what is done with a call whose agent fails it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from marshmallow import ValidationError, validates_schema

from web.api.answer_fields import Answer, text
from web.api.fields import Choice, Fault, Request, Text

ACTIONS = ("hangup", "announcement")
_LATER = {"transfer": "calls cannot be handed on from here yet; use announcement, or hangup"}


class FallbackRequest(Request):
    """hangup, or announcement: a file is played to whoever has picked up, or has called; then the call ends."""

    REFUSED: ClassVar[Mapping[str, str]] = {"text": "cannot be spoken here yet; give the name of a file as audio"}

    action = Choice(ACTIONS, later=_LATER, required=True)
    audio = Text(
        maximum=104,
        pattern="[A-Za-z0-9_-]{1,100}[.]wav",
        remedy="must be the name of a .wav file in the announcement directory, without a path",
        metadata={"description": "announcement: file name"},
    )

    @validates_schema(skip_on_field_errors=True)
    def _fits(self, data: dict[str, Any], **_: Any) -> None:
        if data["action"] == "announcement" and "audio" not in data:
            raise ValidationError({"audio": [Fault("required", "is required for action announcement")]})
        if data["action"] != "announcement" and "audio" in data:
            raise ValidationError({"audio": [Fault("not_allowed", "belongs to action announcement; leave it out")]})


class FallbackAnswer(Answer):
    """What is done with a call whose agent fails it."""

    action = text("what is done", enum=list(ACTIONS))
    audio = text("announcement: file", null=True)


def shown(fallback: Mapping[str, Any] | None) -> dict[str, Any]:
    """As :class:`FallbackAnswer`."""
    return {"action": "hangup", "audio": None, **(fallback or {})}
