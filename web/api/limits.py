"""/v1/limits: what the account may do, and how much of it is in use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask import Response, g

from budget.explain import read_scopes
from store import backlog, caps, scopes
from store.scopes import Scope, tenant_scope
from store.tenants import Tenant
from web.api.limit_answers import LimitList
from web.api.parser import Blueprint
from web.api.respond import answer, refuses
from web.auth import tenant
from web.requestrate import Rate, requests_per_s
from web.runtime import runtime

blueprint = Blueprint("limits", __name__, url_prefix="/v1/limits", description="What your account may do")


@blueprint.get("", scope="limits:read")
@blueprint.response(200, LimitList)
@refuses(blueprint)
@blueprint.doc(operationId="listLimits")
def list_limits() -> Response:
    """Read your limits

    And how much of each is in use. `current` is null where it is not known at the moment, and for calls per second, which
    are not counted but spaced.
    """
    ours, account = runtime(), tenant()
    own = tenant_scope(account.id)
    limited = {scope.scope: scope for scope in scopes.of_tenant(ours.database, account.id)}
    # A tenant without limits is shown all the same: how many calls it has on the line is worth knowing.
    shown = [limited.pop(own, Scope(own)), *limited.values()]
    return answer({"data": [*_scopes(account, shown), _requests(account), _queue(account), *_caps(account)]})


def _scopes(account: Tenant, shown: Sequence[Scope]) -> list[dict[str, Any]]:
    used = _in_use([scope.scope for scope in shown])
    entries = []
    for scope in shown:
        kind, _, rest = scope.scope.partition(":")
        name = account.name if kind == "tenant" else rest.partition(":")[2]
        entries.append(_entry(kind, name, "channels", scope.max_channels, used.get(scope.scope)))
        entries.append(_entry(kind, name, "calls_per_s", scope.cps, None))
    return entries


def _in_use(names: Sequence[str]) -> dict[str, int]:
    """Calls that hold a channel of each scope: granted, being dialed or on the line. Empty while Redis is away."""
    ours, nothing = runtime(), dict[str, int]()
    return ours.gate.ask(
        lambda: {name: now.used for name, now in read_scopes(ours.redis, names).scopes.items()}, lambda: nothing
    )


def _requests(account: Tenant) -> dict[str, Any]:
    rate: Rate = g.rate
    used = round((rate.limit - rate.remaining) / rate.window_s, 3) if rate.shared else None
    return _entry("request_rate", account.name, "requests_per_s", requests_per_s(account), used)


def _queue(account: Tenant) -> dict[str, Any]:
    settings = runtime().settings
    most = settings.tenant_max_queued if account.max_queued is None else account.max_queued
    return _entry("queue", account.name, "queued_calls", most, backlog.queued(runtime().database, account.id))


def _caps(account: Tenant) -> list[dict[str, Any]]:
    """Those that are set. What calls on the line have reserved of a day is counted as used."""
    used = caps.used(runtime().database, account.id)
    if used is None:
        return []
    current = {
        "calls_per_minute": used.dials,
        "number_per_day": None,
        "minutes_per_day": round(used.seconds / 60, 2),
        "spend_per_day": used.micros,
        "new_prefixes_per_hour": len(used.new_prefixes),
    }
    return [_entry("cap", account.name, name, most, current[name]) for name, most in caps.shown(used.caps).items()]


def _entry(scope: str, name: str, unit: str, most: float | None, current: float | None) -> dict[str, Any]:
    return {"scope": scope, "name": name, "unit": unit, "max": most, "current": current}
