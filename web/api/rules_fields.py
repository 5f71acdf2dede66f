"""``recipient`` and ``consent`` of a new call: where its callee is, and on what ground it is made."""

from __future__ import annotations

from typing import Any

from marshmallow import post_load

from calls.consent import BASES, REFERENCE_MAX, Consent
from calls.places import Recipient
from calls.risks import of_country
from web.api.fields import Choice, Moment, Request, Text, fault
from web.api.retry_fields import Zone


class Country(Text):
    """ISO 3166-1 alpha-2."""

    def __init__(self, **more: Any):
        super().__init__(
            maximum=2,
            minimum=2,
            pattern="[A-Z]{2}",
            remedy="must be two capital letters of ISO 3166-1, such as US",
            **more,
        )

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        name = super()._deserialize(value, *args, **kwargs)
        if of_country(name) is None:
            raise fault("unknown_country", "must be a country of ISO 3166-1, such as US")
        return name


class NotYet(Text):
    """A field whose feature is not there: refused by name, whatever it holds."""

    def __init__(self, remedy: str, **more: Any):
        super().__init__(maximum=1, **more)
        self._remedy = remedy

    def _deserialize(self, *_: Any, **__: Any) -> str:
        raise fault("not_supported", self._remedy)


class RecipientRequest(Request):
    """Where the callee is, if it is not where the number's prefix says."""

    timezone = Zone(metadata={"description": "IANA time zone of the callee", "example": "America/Chicago"})
    country = Country(metadata={"description": "where the callee is; its rules hold beside those of the number's country"})
    postal_code = NotYet(
        "is not looked up here; give timezone",
        metadata={"description": "not supported: refused, so that nobody relies on it"},
    )

    @post_load
    def _made(self, data: dict[str, Any], **_: Any) -> Recipient:
        return Recipient(data.get("timezone"), data.get("country"))


class ConsentRequest(Request):
    """On what ground the callee is called."""

    basis = Choice(
        tuple(BASES),
        required=True,
        metadata={"description": "; ".join(f"{basis}: {words}" for basis, words in BASES.items())},
    )
    at = Moment(metadata={"description": "when it was given"})
    reference = Text(maximum=REFERENCE_MAX, metadata={"description": "where its proof is; kept with every decision"})

    @post_load
    def _made(self, data: dict[str, Any], **_: Any) -> Consent:
        return Consent(data["basis"], data.get("at"), data.get("reference"))
