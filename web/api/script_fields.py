"""What an announcement says and asks: the fields ``script``, ``menu`` and ``voice`` of an agent."""

from __future__ import annotations

import re
from typing import Any

from marshmallow import ValidationError, fields, validates_schema

from calls.script import CHOICES, PARTS_MOST, REPEATS, TEXT_MOST, WAIT_S, stray_brace
from web.api.answer_fields import Answer, several, text, whole
from web.api.fields import Coded, Fault, Request, Text, Whole, fault
from web.api.retry_fields import Part, Several

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def audio_file(**metadata: Any) -> Text:
    """A file of the announcement directory."""
    return Text(
        maximum=104,
        pattern="[A-Za-z0-9_-]{1,100}[.]wav",
        remedy="must be the name of a .wav file in the announcement directory, without a path",
        metadata=metadata,
    )


class Words(Coded, fields.String):
    """A text that is read aloud, with ``{{name}}`` where a variable of the call comes in. It never reaches the switch."""

    expected = "a string"

    def __init__(self, **more: Any):
        metadata = {
            "minLength": 1,
            "maxLength": TEXT_MOST,
            "pattern": r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$",
            **more.pop("metadata", {}),
        }
        super().__init__(metadata=metadata, **more)

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> str:
        if not isinstance(value, str):
            raise self.make_error("type")
        if _CONTROL.search(value):
            raise fault("bad_character", "must hold no control characters and no line breaks")
        if not 1 <= len(value) <= TEXT_MOST or not value.strip():
            raise fault("bad_length", f"must have 1 to {TEXT_MOST} characters, and not only spaces")
        if stray_brace(value):
            raise fault("bad_format", "must hold { and } only as {{name}}, a variable of letters, digits and _")
        return value


class PartRequest(Request):
    """One thing to be heard: ``audio`` or ``text``."""

    audio = audio_file(description="file in the announcement directory", example="hello.wav")
    text = Words(metadata={"description": "words to be spoken; {{name}}: a variable of the call", "example": "Good day"})

    @validates_schema(skip_on_field_errors=True)
    def _one(self, data: dict[str, Any], **_: Any) -> None:
        if len(data) != 1:
            raise ValidationError([Fault("required", "give either audio or text")])


def script(description: str) -> Several:
    return Several(Part(PartRequest), PARTS_MOST, metadata={"description": description})


def _key(description: str) -> Text:
    return Text(
        maximum=1,
        pattern="[0-9*#]",
        remedy="must be one key of 0-9 * #",
        metadata={"description": description, "example": "1"},
    )


class MenuRequest(Request):
    """Keys that the callee may press, while the message is heard and after it."""

    confirm = _key("confirms: outcome confirmed")
    repeat = _key("the message once more")
    opt_out = _key("is called no more: a suppression of your account, at once; outcome opted_out")
    wait_s = Whole(1, 60, metadata={"description": "s; how long a key is waited for after the message", "default": WAIT_S})
    repeats = Whole(0, 5, metadata={"description": "the message again, so often, where no key came", "default": REPEATS})
    confirmed = script("said after confirm")
    opted_out = script("said after opt_out")

    @validates_schema(skip_on_field_errors=True)
    def _keys(self, data: dict[str, Any], **_: Any) -> None:
        keys = [data[name] for name in CHOICES if name in data]
        if not keys:
            raise ValidationError([Fault("required", "give a key for at least one of confirm, repeat and opt_out")])
        for name in CHOICES:
            if name in data and keys.count(data[name]) > 1:
                raise ValidationError({name: [Fault("conflict", "is the key of another choice too; give each its own")]})
        for after, name in (("confirmed", "confirm"), ("opted_out", "opt_out")):
            if after in data and name not in data:
                raise ValidationError({after: [Fault("not_allowed", f"is never said without a key for {name}")]})


def voice() -> Text:
    return Text(
        maximum=32,
        pattern="[A-Za-z0-9-]{1,32}",
        remedy="must be a language of espeak-ng's voices, such as en-us or de",
        metadata={"description": "for texts: a language of espeak-ng's voices; else en", "example": "en-us"},
    )


class PartAnswer(Answer):
    """One thing to be heard: ``audio`` or ``text``, the other is not there."""

    audio = fields.String(metadata={"description": "file in the announcement directory"})
    text = fields.String(metadata={"description": "words to be spoken"})


class MenuAnswer(Answer):
    """Keys that the callee may press; null: not offered."""

    confirm = text("confirms", null=True)
    repeat = text("the message once more", null=True)
    opt_out = text("is called no more", null=True)
    wait_s = whole("s; how long a key is waited for")
    repeats = whole("the message again, so often, where no key came")
    confirmed = several(PartAnswer, "said after confirm; null: nothing", null=True)
    opted_out = several(PartAnswer, "said after opt_out; null: nothing", null=True)


def show_menu(menu: dict[str, Any] | None) -> dict[str, Any] | None:
    """The menu with everything it says by default."""
    if menu is None:
        return None
    names = ("confirm", "repeat", "opt_out", "confirmed", "opted_out")
    return {
        **{name: menu.get(name) for name in names},
        "wait_s": menu.get("wait_s", WAIT_S),
        "repeats": menu.get("repeats", REPEATS),
    }
