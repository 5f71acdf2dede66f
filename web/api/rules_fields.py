"""``recipient`` and ``consent`` of a new call: where its callee is, and on what ground it is made."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar

from marshmallow import post_load, validates
from phonenumbers import SUPPORTED_REGIONS

from calls.consent import BASES, REFERENCE_MAX, Consent
from calls.places import Recipient
from web.api.fields import Choice, Moment, Request, Text, fault
from web.api.retry_fields import PlaceZone
from web.runtime import runtime

#: By how much a customer's clock may be ahead of ours.
CLOCKS = timedelta(minutes=1)


class Country(Choice):
    """ISO 3166-1 alpha-2."""

    def __init__(self, **more: Any):
        super().__init__(sorted(SUPPORTED_REGIONS), **more)
        self.expected = "a country of ISO 3166-1 in two capital letters, such as US"


class RecipientRequest(Request):
    """Where the callee is, if it is not where the number's prefix says."""

    REFUSED: ClassVar[Mapping[str, str]] = {
        "postal_code": "postal codes are not looked up yet; give timezone where the number's prefix does not tell the zone"
    }

    timezone = PlaceZone(metadata={"description": "IANA time zone of the callee", "example": "America/Chicago"})
    country = Country(metadata={"description": "where the callee is; its rules hold beside those of the number's country"})

    @post_load
    def _made(self, data: dict[str, Any], **_: Any) -> Recipient:
        return Recipient(data.get("timezone"), data.get("country"))


class Ground(Request):
    """On what ground somebody is called; whose words its proof is referred to in, each kind of request has itself."""

    basis = Choice(
        tuple(BASES),
        required=True,
        metadata={"description": "; ".join(f"{basis}: {words}" for basis, words in BASES.items())},
    )
    at = Moment(metadata={"description": "when it was given"})

    @validates("at")
    def _given(self, value: datetime, **_: Any) -> None:
        if value > runtime().now() + CLOCKS:
            raise fault("in_the_future", "must be when it was given, which cannot lie ahead")

    @post_load
    def _made(self, data: dict[str, Any], **_: Any) -> Consent:
        return Consent(data["basis"], data.get("at"), data.get("reference"))


class ConsentRequest(Ground):
    """On what ground the callee is called."""

    reference = Text(maximum=REFERENCE_MAX, metadata={"description": "where its proof is; kept with every decision"})
