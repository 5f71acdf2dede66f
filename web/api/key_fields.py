"""API keys as the API takes and answers them, for a tenant and for operators alike."""

from __future__ import annotations

from typing import Any, get_args

from marshmallow import fields, validates_schema

from calls.access import NETWORKS_MAX, SCOPES, TEST_SCOPES, Mode, Network, network
from calls.ids import key_ref
from store.key_text import shown
from store.keys import ApiKey
from store.snapshot import stamp
from web.api.answer_fields import Answer, PageAnswer, moment, part, several, text, texts
from web.api.fields import Choice, Coded, Moment, Reference, Request, Text, Whole, fault
from web.api.requests import PageQuery
from web.api.retry_fields import Several
from web.runtime import runtime

#: s; a key that was followed by another ends within that at the latest, if it was asked to.
OVERLAP_MAX_S = 30 * 86_400


class Net(Coded, fields.String):
    """A network in CIDR notation, or one address."""

    expected = "a network such as 203.0.113.0/24 or 2001:db8::/32, or one address"

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> Any:
        if not isinstance(value, str):
            raise self.make_error("type")
        try:
            return network(value)
        except ValueError as error:
            raise fault("bad_format", str(error)) from None


class NewKeyRequest(Request):
    """One key to create."""

    name = Text(
        maximum=63,
        required=True,
        metadata={"description": "what it is for; one key of a name is in force, and the one that follows it"},
    )
    scopes = Several(
        Choice(SCOPES),
        len(SCOPES),
        required=True,
        metadata={"description": "what it may do; nothing that the key of this request may not", "uniqueItems": True},
    )
    allowed_ips = Several(
        Net(),
        NETWORKS_MAX,
        metadata={
            "description": "networks it may be used from; else those of the key of this request, or anywhere",
            "example": ["203.0.113.0/24", "2001:db8::/32"],
        },
    )
    expires_at = Moment(metadata={"description": "when it ends; else with the key of this request, or never"})
    mode = Choice(
        get_args(Mode),
        load_default="live",
        metadata={
            "description": f"live: its calls go to people; test: to the laboratory. Its scopes: {', '.join(TEST_SCOPES)}",
            "default": "live",
        },
    )

    @validates_schema
    def _ends_later(self, data: dict[str, Any], **_: Any) -> None:
        if "expires_at" in data and data["expires_at"] <= runtime().now():
            wrong = fault("in_the_past", "must lie ahead")
            wrong.field_name = "expires_at"
            raise wrong
        if len(set(data["scopes"])) < len(data["scopes"]):
            wrong = fault("given_twice", "give each scope once")
            wrong.field_name = "scopes"
            raise wrong
        beyond = [scope for scope in data["scopes"] if data["mode"] == "test" and scope not in TEST_SCOPES]
        if beyond:
            words = f"a test key may not have {', '.join(beyond)}; give some of {', '.join(TEST_SCOPES)}"
            wrong = fault("not_for_test_keys", words)
            wrong.field_name = "scopes"
            raise wrong


class RotateKeyRequest(Request):
    """How a key is followed by another."""

    old_expires_in_s = Whole(
        0,
        OVERLAP_MAX_S,
        metadata={"description": "s; the old key ends after this at the latest; else it is in force until it is revoked"},
    )


class KeysQuery(PageQuery):
    """Which keys."""

    starting_after = Reference("key", metadata={"description": "next_cursor of the page before"})


class KeyAnswer(Answer):
    """An API key as it may be shown; its secret is not kept."""

    id = text("the key", example=f"key_{'0' * 31}1")
    name = text("what it is for")
    prefix = text("how it begins; in logs it is named by this", example="tl_4f9c0a2b7d1e")
    scopes = texts("what it may do", enum=list(SCOPES))
    mode = text("live: its calls go to people; test: to the laboratory", enum=list(get_args(Mode)))
    allowed_ips = texts("networks it may be used from; null: anywhere", null=True)
    status = text("whether it opens anything", enum=["active", "expired", "revoked"])
    created_at = moment("created")
    expires_at = moment("when it ends; null: when it is revoked", null=True)
    revoked_at = moment("revoked", null=True)
    last_used_at = moment("last used, to the minute; null: never", null=True)


class NewKeyAnswer(KeyAnswer):
    """A key that was just made."""

    key = text("the key itself: keep it now, it is not shown again", example="tl_4f9c0a2b7d1e_...")


class RotatedKeyAnswer(NewKeyAnswer):
    """The key that follows another."""

    replaces = part(KeyAnswer, "the key that it follows")


class KeyPage(PageAnswer):
    """A page of keys, newest first."""

    data = several(KeyAnswer)


def show(key: ApiKey) -> dict[str, Any]:
    """The key as it is answered: never its secret."""
    revoked = key.revoked_at is not None and key.revoked_at <= runtime().now()
    return {
        "id": key_ref(key.id),
        "name": key.name,
        "prefix": shown(key.mode, key.prefix),
        "scopes": [scope for scope in SCOPES if scope in key.scopes],
        "mode": key.mode,
        "allowed_ips": None if key.allowed_ips is None else cidrs(key.allowed_ips),
        "status": "active" if key.is_active(runtime().now()) else "revoked" if revoked else "expired",
        "created_at": stamp(key.created_at),
        "expires_at": stamp(key.expires_at),
        "revoked_at": stamp(key.revoked_at),
        "last_used_at": stamp(key.last_used_at),
    }


def cidrs(nets: list[Network]) -> list[str]:
    """Networks in CIDR notation."""
    return [str(net) for net in nets]
