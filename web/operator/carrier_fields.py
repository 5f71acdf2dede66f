"""Carriers as operators send and read them: what each allows, and how it wants to be spoken to in SIP."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Any

from marshmallow import fields, validates_schema

from calls.reject_texts import CLASSES
from calls.trunk import CODECS, SECRET_PREFIX, Trunk
from store.carriers import CarrierLimits, Endpoint
from web.api.answer_fields import Answer, amount, several, text, texts, truth, whole
from web.api.fields import Choice, Coded, Request, Text, Whole, fault
from web.api.retry_fields import Part, Several, Switch
from web.operator.fields import Amount
from web.operator.fields import name as a_name

_FORMATS = ("plus", "double_zero", "digits", "national")
_SETTING = "; null: the setting"
#: What people send when they look for the password's field.
_PASSWORDS = ("password", "secret", "digest_password")
_NO_PASSWORD = (
    f"no password is kept here: put it into a variable {SECRET_PREFIX}... of every controller's environment, and name that"
    " variable in secret_env"
)


def _tell(description: str, **more: Any) -> dict[str, Any]:
    return {"description": description, **more}


class Digits(Coded, fields.String):
    """Digits alone, and what else ``pattern`` takes; may be empty."""

    def __init__(self, pattern: str, expected: str, **more: Any):
        super().__init__(metadata={"pattern": f"^{pattern}$", **more.pop("metadata", {})}, **more)
        self.expected, self._pattern = expected, pattern

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> str:
        if not isinstance(value, str):
            raise self.make_error("type")
        if re.fullmatch(self._pattern, value) is None:
            raise fault("bad_format", f"must be {self.expected}")
        return value


class RejectText(Request):
    """What a carrier's own words mean."""

    code = Whole(400, 699, allow_none=True, metadata=_tell("SIP code; null: any"))
    text = Text(maximum=100, required=True, metadata=_tell("what the reason phrase holds, in any case"))
    class_ = Choice(CLASSES, required=True, data_key="class", metadata=_tell("what it means"))


class _Limits(Request):
    max_channels = Whole(0, 2**31 - 1, metadata=_tell("calls at the same time, at most; 0: none"))
    cps = Amount(0, 99_999.999, metadata=_tell("INVITEs per second, at most"))
    window_ms = Whole(100, 60_000, metadata=_tell("ms; over how long the carrier counts them"))
    jitter_ms = Whole(0, 60_000, allow_none=True, metadata=_tell(f"ms; only widens the setting{_SETTING}"))
    linger_ms = Whole(0, 3_600_000, allow_none=True, metadata=_tell(f"ms; an ended call still counts{_SETTING}"))
    invite_cost = Whole(1, 2, metadata=_tell("2 on a digest trunk"))
    pdd_s = Whole(1, 120, allow_none=True, metadata=_tell(f"s; INVITE to first 18x{_SETTING}"))
    account = Text(maximum=63, allow_none=True, metadata=_tell("it also counts by this account: limits account:NAME"))
    source_ip = Text(
        maximum=45, allow_none=True, metadata=_tell("it also counts by this address of ours: limits ip:ADDRESS")
    )
    urgent_share = Amount(0, 1, metadata=_tell("of its slots, for one tenant's urgent calls at most"))
    bulk_floor = Amount(0, 0.5, metadata=_tell("of its slots, for bulk calls at least"))
    counts_inbound = Switch(metadata=_tell("whether calls it places to us take its channels"))
    inbound_reserved = Whole(0, 2**31 - 1, metadata=_tell("channels that calls of ours never take"))


class NewCarrierRequest(_Limits):
    """One carrier to create; how it is spoken to is set by a change."""

    name = a_name(32, required=True)
    max_channels = Whole(0, 2**31 - 1, required=True, metadata=_tell("calls at the same time, at most; 0: none"))
    cps = Amount(0, 99_999.999, required=True, metadata=_tell("INVITEs per second, at most"))


class ChangeCarrierRequest(_Limits):
    """What is to change; what is left out stays."""

    paused = Switch(metadata=_tell("true: nothing new is dialed through it"))
    auth = Choice(("ip", "digest"), metadata=_tell("digest: each INVITE goes twice, and costs 2"))
    username = Text(maximum=64, allow_none=True, metadata=_tell("our name there: Contact, OPTIONS, and digest"))
    realm = Text(maximum=128, allow_none=True, metadata=_tell("digest: the realm it asks in"))
    secret_env = Text(
        maximum=len(SECRET_PREFIX) + 64,
        allow_none=True,
        metadata=_tell("digest: name of the variable of every controller's environment that holds the password"),
    )
    from_user = Text(maximum=64, allow_none=True, metadata=_tell("user in From where the caller id is not"))
    from_domain = Text(maximum=128, allow_none=True, metadata=_tell("domain in From and of the caller id"))
    caller_in_from = Switch(metadata=_tell("whether From carries the caller id"))
    caller_header = Choice(("pai", "ppi", "rpid", "none"), metadata=_tell("what else carries it"))
    privacy = Choice(("off", "none", "id"), metadata=_tell("Privacy header; id: the caller is withheld"))
    number_format = Choice(_FORMATS, metadata=_tell("of the dialed number: +49.., 0049.., 49.., 0.."))
    caller_format = Choice(_FORMATS, metadata=_tell("of the caller id"))
    country_code = Digits("[1-9][0-9]{0,2}", "1 to 3 digits", allow_none=True, metadata=_tell("whose numbers are national"))
    national_prefix = Digits("[0-9]{0,3}", "0 to 3 digits", metadata=_tell("national: before a number of that country"))
    international_prefix = Digits("[0-9]{1,5}", "1 to 5 digits", metadata=_tell("before a country code"))
    tech_prefix = Digits("[0-9*#]{0,16}", "0 to 16 of 0-9 * #", metadata=_tell("before every dialed number"))
    codecs = Several(Choice(sorted(CODECS)), len(CODECS), metadata=_tell("in the order in which they are offered"))
    transport = Choice(("udp", "tcp", "tls"))
    ping_s = Whole(5, 3600, allow_none=True, metadata=_tell("s; between OPTIONS; null: never"))
    ring_s = Whole(5, 120, allow_none=True, metadata=_tell("s; longest ring time; null: the call's own"))
    media_timeout_s = Whole(10, 3600, metadata=_tell("s; without audio: hung up"))
    reject_texts = fields.List(Part(RejectText), metadata=_tell("what its own words mean; replaces all"))

    @validates_schema(skip_on_field_errors=False, pass_original=True)
    def _fits(self, _: Any, sent: Any, **__: Any) -> None:
        if not isinstance(sent, dict):
            return
        if not sent:
            raise fault("required", "give at least one thing to change")
        for field in _PASSWORDS:
            if field in sent:
                wrong = fault("not_kept", _NO_PASSWORD)
                wrong.field_name = field
                raise wrong


class EndpointAnswer(Answer):
    """Where a carrier is."""

    name = text("of an endpoint whose gateway is rendered; null: its gateway is written by hand on every switch", null=True)
    gateway = text("the gateway that new dials take")
    address = text("literal ip:port", example="192.0.2.10:5060")
    enabled = truth("false: nothing new is dialed there")
    loaded = truth("whether some switch has it")


class RejectTextAnswer(Answer):
    """What a carrier's own words mean."""

    code = whole("SIP code; null: any", null=True)
    text = text("what the reason phrase holds")
    class_ = fields.String(required=True, data_key="class", metadata=_tell("what it means", enum=list(CLASSES)))


class CarrierAnswer(Answer):
    """A carrier: what it allows and how it wants its calls. A password is not part of it: it is not kept here."""

    name = text("unique, and how paths name it")
    paused = truth("true: nothing new is dialed through it")
    max_channels = whole("calls at the same time, at most")
    cps = amount("INVITEs per second, at most")
    window_ms = whole("ms; over how long the carrier counts them")
    jitter_ms = whole("ms; null: the setting", null=True)
    linger_ms = whole("ms; null: the setting", null=True)
    invite_cost = whole("what a call counts of the cps")
    pdd_s = whole("s; null: the setting", null=True)
    account = text("it also counts by this account", null=True)
    source_ip = text("it also counts by this address of ours", null=True)
    urgent_share = amount("of its slots, for one tenant's urgent calls at most")
    bulk_floor = amount("of its slots, for bulk calls at least")
    counts_inbound = truth("whether calls it places to us take its channels")
    inbound_reserved = whole("channels that calls of ours never take")
    lab = truth("the laboratory's, for calls of test keys alone")
    auth = text("how it knows us", enum=["ip", "digest"])
    username = text("our name there", null=True)
    realm = text("digest: the realm it asks in", null=True)
    secret_env = text("digest: the variable that holds the password", null=True)
    from_user = text("user in From", null=True)
    from_domain = text("domain in From", null=True)
    caller_in_from = truth("whether From carries the caller id")
    caller_header = text("what else carries it", enum=["pai", "ppi", "rpid", "none"])
    privacy = text("Privacy header", enum=["off", "none", "id"])
    number_format = text("of the dialed number", enum=list(_FORMATS))
    caller_format = text("of the caller id", enum=list(_FORMATS))
    country_code = text("whose numbers are written nationally", null=True)
    national_prefix = text("before a national number")
    international_prefix = text("before a country code")
    tech_prefix = text("before every dialed number")
    codecs = texts("in the order in which they are offered")
    transport = text("of its gateways", enum=["udp", "tcp", "tls"])
    ping_s = whole("s; between OPTIONS; null: never", null=True)
    ring_s = whole("s; longest ring time; null: the call's own", null=True)
    media_timeout_s = whole("s; without audio: hung up")
    reject_texts = several(RejectTextAnswer)
    endpoints = several(EndpointAnswer)


class CarrierList(Answer):
    """Every carrier by name."""

    data = several(CarrierAnswer)


def show(limits: CarrierLimits, trunk: Trunk, endpoints: list[Endpoint]) -> dict[str, Any]:
    """The carrier as it is answered."""
    values = {**asdict(limits), **asdict(trunk)}
    del values["id"]
    own = [end for end in endpoints if end.carrier_id == limits.id]
    return {**values, "codecs": list(trunk.codecs), "endpoints": [show_endpoint(end) for end in own]}


def show_endpoint(end: Endpoint) -> dict[str, Any]:
    """The endpoint as it is answered."""
    return {name: getattr(end, name) for name in ("name", "gateway", "address", "enabled", "loaded")}


def changes(args: dict[str, Any]) -> dict[str, Any]:
    """What was sent, by the store's field names."""
    if "reject_texts" in args:
        texts = [{"code": one.get("code"), "text": one["text"], "class": one["class_"]} for one in args["reject_texts"]]
        return {**args, "reject_texts": texts}
    return args
