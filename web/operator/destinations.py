"""/v1/operator/tenants/{tenant}/destinations: which countries and prefixes a tenant may dial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flask import Response
from marshmallow import validates_schema

from calls.destinations import ENTRY, Entry
from calls.risks import RISKS, of_country
from store import outbound
from store.changes import Change
from store.outbound import TenantRules
from web.api.answer_fields import Answer, several, text, truth
from web.api.fields import Choice, Request, Text, fault
from web.api.respond import answer, refuses
from web.api.retry_fields import Part, Several, Switch
from web.operator.blueprint import NEEDS, blueprint, changing
from web.operator.tenants import the_tenant
from web.runtime import runtime

_MOST = 1000
_MATCH = "country (ISO 3166-1: DE), prefix (E.164: +4930), or + for every number"


class Match(Text):
    """``DE``, ``+4930``, or ``+``."""

    def __init__(self, **more: Any):
        remedy = "must be a country (DE), a prefix (+4930), or + for every number"
        more["metadata"] = {"description": _MATCH, "example": "DE", **more.pop("metadata", {})}
        super().__init__(maximum=16, pattern=f"({ENTRY.pattern})", remedy=remedy, **more)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        match = super()._deserialize(value, *args, **kwargs)
        if not match.startswith("+") and of_country(match) is None:
            raise fault("unknown_country", f"{match} is no country of ISO 3166-1")
        return match


class DestinationRequest(Request):
    """What may be dialed of a country or prefix."""

    match = Match(required=True)
    allow = Switch(metadata={"description": "false: excluded from what a wider entry allows", "default": True})
    risk = Choice(RISKS, metadata={"description": "numbers up to this class of risk", "default": "low"})


class ChangeDestinationsRequest(Request):
    """What is to change; entries that are not named stay."""

    entries = Several(Part(DestinationRequest), _MOST, metadata={"description": "added, or set anew; narrower ones decide"})
    remove = Several(Match(), _MOST, metadata={"description": "entries to take away", "example": ["+4930"]})

    @validates_schema(skip_on_field_errors=True, pass_original=True)
    def _something(self, data: dict[str, Any], sent: Any, **__: Any) -> None:
        if not sent:
            raise fault("required", "give entries, or remove, or both")
        named = [one["match"] for one in data.get("entries", [])] + data.get("remove", [])
        twice = sorted({match for match in named if named.count(match) > 1}) if len(set(named)) < len(named) else []
        if twice:
            raise fault("conflict", f"{twice[0]} is named twice; name it once")


class DestinationAnswer(Answer):
    """What may be dialed of a country or prefix."""

    match = text(_MATCH)
    allow = truth("false: excluded from what a wider entry allows")
    risk = text("numbers up to this class of risk; null: none", null=True, enum=[*RISKS, None])
    own_risk = text("class of the country itself; null: a prefix", null=True, enum=[*RISKS, None])


class DestinationList(Answer):
    """Every entry, by country and prefix. What none lets through, of the tenant or of the house, is not dialed."""

    data = several(DestinationAnswer)


@blueprint.get("/tenants/<tenant>/destinations", scope=NEEDS)
@blueprint.response(200, DestinationList)
@refuses(blueprint, 404)
@blueprint.doc(operationId="operatorListDestinations")
def list_destinations(tenant: str) -> Response:
    """List what a tenant may dial"""
    return answer(_shown(outbound.get(runtime().database, the_tenant(tenant).id)))


@blueprint.patch("/tenants/<tenant>/destinations", scope=NEEDS)
@blueprint.arguments(ChangeDestinationsRequest)
@blueprint.response(200, DestinationList)
@refuses(blueprint, 400, 404, 413, 415, writes=True)
@blueprint.doc(operationId="operatorChangeDestinations")
def change_destinations(args: dict[str, Any], tenant: str) -> Response:
    """Change what a tenant may dial

    All of it or nothing. An entry whose `own_risk` is above its `risk` lets nothing of that country through until it is
    allowed up to that class. It acts on the next accept and on the next claim: also on what is queued.
    """
    owner = the_tenant(tenant)
    entries, gone = entries_of(args), args.get("remove", [])
    with changing() as change:
        if gone:
            outbound.forget(change.database, owner.id, gone)
            change.note("tenant.destinations_removed", f"tenant:{owner.name}", {"matches": gone})
        if entries:
            outbound.allow(change.database, owner.id, entries)
            note(change, "tenant", f"tenant:{owner.name}", entries)
    return answer(_shown(outbound.get(runtime().database, owner.id)))


def entries_of(args: Mapping[str, Any]) -> list[Entry]:
    """What the request adds or sets anew."""
    return [Entry(one["match"], one.get("allow", True), one.get("risk", "low")) for one in args.get("entries", [])]


def note(change: Change, whose: str, subject: str, entries: Sequence[Entry]) -> None:
    """A line of the ledger for each class of risk, and one for what is excluded. ``whose``: tenant or house."""
    for risk in RISKS:
        matches = [one.match for one in entries if one.allow and one.risk == risk]
        if matches:
            change.note(f"{whose}.destinations_allowed", subject, {"matches": matches, "risk": risk})
    denied = [one.match for one in entries if not one.allow]
    if denied:
        change.note(f"{whose}.destinations_denied", subject, {"matches": denied})


def _shown(rules: TenantRules | None) -> dict[str, Any]:
    return show({} if rules is None else rules.destinations)


def show(found: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """A list of destinations as the API shows it."""
    return {
        "data": [
            {
                "match": match,
                "allow": entry["allow"],
                "risk": entry["risk"] if entry["allow"] else None,
                "own_risk": None if match.startswith("+") else of_country(match),
            }
            for match, entry in sorted(found.items())
        ]
    }
