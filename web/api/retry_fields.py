"""How a call is retried, and when it may be dialed: the parts ``retry`` and ``window`` of a new call."""

from __future__ import annotations

from typing import Any

from marshmallow import fields, post_load, validates_schema

from calls.place_zones import NoPlace, place_zone, window_zone
from calls.rules import GAP_MAX_S, GAPS_MAX, MAX_ATTEMPTS, NUMBER_PER_DAY_MAX
from calls.windows import DAYS, RECIPIENT, RecipientWindow, Window, WindowError, minute, zone
from web.api.fields import Choice, Coded, Request, Whole, fault


class Part(Coded, fields.Nested):
    """An object with a schema of its own."""

    expected = "an object"


class Several(Coded, fields.List[Any]):
    """A JSON list of 1 to ``maximum`` members."""

    def __init__(self, member: fields.Field[Any], maximum: int, **more: Any):
        super().__init__(member, metadata={"minItems": 1, "maxItems": maximum, **more.pop("metadata", {})}, **more)
        self._maximum = maximum
        self.expected = f"a list of 1 to {maximum} members"

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> list[Any]:
        if not isinstance(value, list):
            raise self.make_error("type")
        if not 1 <= len(value) <= self._maximum:
            raise fault("bad_length", f"must be {self.expected}, not {len(value)}")
        return super()._deserialize(value, *args, **kwargs)


class Switch(Coded, fields.Boolean):
    """true or false; no "yes", no 1."""

    expected = "true or false"

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("type")
        return value


class QuerySwitch(Switch):
    """The same in a query, where everything is text."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> bool:
        if value not in ("true", "false"):
            raise self.make_error("type")
        return bool(value == "true")


class Zone(Coded, fields.String):
    """The name of an IANA time zone by which a window, or a day, may go: a place's, or UTC."""

    expected = "the name of an IANA time zone, such as Europe/Berlin"
    #: What takes it, and what is said of one that is no place's.
    taken = staticmethod(window_zone)
    remedy = "is the clock of no place: name the place's, such as America/New_York, or UTC"

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> str:
        if not isinstance(value, str):
            raise self.make_error("type")
        try:
            return self.taken(value)
        except NoPlace:
            raise fault("no_place", self.remedy) from None
        except WindowError:
            raise fault("unknown_time_zone", f"must be {self.expected}, written exactly as IANA does") from None


class PlaceZone(Zone):
    """One in which somebody can be."""

    taken = staticmethod(place_zone)
    remedy = "is the clock of no place: name the place's, such as America/New_York"


class ZoneOrRecipient(Zone):
    """The same, or the word ``recipient``."""

    expected = "the name of an IANA time zone, such as Europe/Berlin, or recipient"

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        return RECIPIENT if value == RECIPIENT else super()._deserialize(value, *args, **kwargs)


class TimeOfDay(Coded, fields.String):
    """``HH:MM`` from 00:00 to 24:00; becomes minutes since midnight."""

    expected = "a time of day from 00:00 to 24:00, written HH:MM"

    def __init__(self, **more: Any):
        metadata = {"pattern": "^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$", **more.pop("metadata", {})}
        super().__init__(metadata=metadata, **more)

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> Any:
        if not isinstance(value, str):
            raise self.make_error("type")
        try:
            return minute(value, "")
        except WindowError:
            raise fault("bad_format", f"must be {self.expected}") from None


def _gaps(after: str, example: list[int]) -> Several:
    told = f"s; gaps after {after}: the first after the first such end, the last after all that follow"
    return Several(Whole(1, GAP_MAX_S), GAPS_MAX, metadata={"description": told, "example": example})


class RetryRequest(Request):
    """How the call is retried; what is left out is as the platform has it."""

    max_attempts = Whole(1, MAX_ATTEMPTS, metadata={"description": "attempts over all reasons together"})
    per_day = Whole(1, MAX_ATTEMPTS, metadata={"description": "dials of this call per local day that may have rung"})
    number_per_day = Whole(
        1, NUMBER_PER_DAY_MAX, metadata={"description": "the same of all your calls to this number; the others count too"}
    )
    on_unknown = Switch(
        metadata={"description": "dial again although nobody saw whether the phone rang; else never", "default": False}
    )
    on_declined = Switch(
        metadata={"description": "call once more, on another day, whoever refused the call; else never", "default": False}
    )
    busy_gaps_s = _gaps("a busy line", [60, 300])
    no_answer_gaps_s = _gaps("no answer", [600, 1800])
    carrier_gaps_s = _gaps("a proven fault of the carrier, nobody rang", [5, 30])


class WindowRequest(Request):
    """When the call may be dialed, by the clock where the phone is; the ringing has to end inside."""

    time_zone = ZoneOrRecipient(
        required=True,
        metadata={
            "description": "IANA time zone of the phone; recipient: the callee's own, wherever that is",
            "example": "Europe/Berlin",
        },
    )
    days = Several(
        Choice(DAYS), len(DAYS), metadata={"description": "days of the week; else all of them", "example": list(DAYS[:5])}
    )
    from_ = TimeOfDay(required=True, data_key="from", metadata={"description": "from this minute on", "example": "09:00"})
    to = TimeOfDay(required=True, metadata={"description": "until just before this minute", "example": "20:00"})

    @validates_schema
    def _goes_forward(self, data: dict[str, Any], **_: Any) -> None:
        if data["to"] <= data["from_"]:
            wrong = fault("not_after_from", "must be later than from; a window ends at midnight (24:00) at the latest")
            wrong.field_name = "to"
            raise wrong

    @post_load
    def _made(self, data: dict[str, Any], **_: Any) -> Window | RecipientWindow:
        days = frozenset(DAYS.index(day) for day in data.get("days", DAYS))
        if data["time_zone"] == RECIPIENT:
            return RecipientWindow(days, data["from_"], data["to"])
        return Window(zone(data["time_zone"]), days, data["from_"], data["to"])
