"""What holds a carrier or a lane, and what to do about it, in words for the operator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from budget.explain import CarrierNow, Held, ScopeNow

#: Nothing is wrong and nothing is full: the carriers' pace, turns among those who wait, or no work at all.
MOVING = frozenset({"cps", "turn", "order", "backlog", "empty", "idle"})


@dataclass(frozen=True, slots=True)
class Names:
    """What operators call carriers and tenants; ``unreachable``: carriers without an endpoint that is enabled."""

    carriers: Mapping[UUID, str]
    tenants: Mapping[UUID, str]
    unreachable: frozenset[UUID] = frozenset()

    def scope(self, scope: str) -> str:
        """``carrier telco``, ``tenant acme``, ``campaign acme:spring``, ``switch fs1``, ``global``."""
        kind, _, rest = scope.partition(":")
        try:
            if kind == "carrier":
                return f"carrier {self.carriers.get(UUID(rest), rest)}"
            if kind == "tenant":
                return f"tenant {self.tenants.get(UUID(rest), rest)}"
            if kind in ("campaign", "caller"):
                owner, _, name = rest.partition(":")
                return f"{kind} {self.tenants.get(UUID(owner), owner)}:{name}"
        except ValueError:
            return scope
        return "global" if kind == "global" else f"{kind} {rest}"

    def without_endpoint(self, scope: str | None) -> bool:
        return scope is not None and scope in {f"carrier:{one}" for one in self.unreachable}


def number(value: float | None) -> str:
    """12, 9.71; - for none."""
    return "-" if value is None else f"{value:.3g}" if value % 1 else f"{value:g}"


def span(seconds: float) -> str:
    """0.25 s, 12 s, 3 min, 2 h."""
    if seconds < 120:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


def limit(held: Held, names: Names) -> str:
    """The limit by name, with its numbers: ``carrier telco: 30 of 30 channels``."""
    whose = "" if held.scope is None else names.scope(held.scope)
    if held.name == "channels" and (held.scope or "").startswith("seats:"):
        return f"{whose}: {number(held.current)} of {number(held.limit)} seats in use: start more workers (python -m agents)"
    if held.name == "channels":
        return f"{whose}: {number(held.current)} of {number(held.limit)} channels in use"
    if held.name == "cps":
        if held.limit == 0:
            return f"{whose}: 0 CPS"
        wait = "" if not held.wait_us else f", next in {span(held.wait_us / 1e6)}"
        return f"{whose}: {number(held.limit)} calls/s{wait}"
    if held.name == "paused":
        return f"{whose}: no endpoint is enabled" if names.without_endpoint(held.scope) else f"{whose}: paused"
    if held.name == "stopped":
        return f"{whose}: stopped{': ' + held.why if held.why else ''}"
    if held.name == "probing":
        more = "no probe left, waiting for their ends" if not held.limit else f"{number(held.limit)} probe calls left"
        return f"{whose}: probing, {more}"
    return {
        "closed": "the budget: no epoch is open",
        "rebuilding": "the budget: it is being rebuilt",
        "unknown": f"{whose}: Redis was not told of its limits",
        "unasked": f"{whose}: no controller asks for calls",
        "no_route": "no carrier serves the lane",
        "empty": "nothing is in the lane",
        "backlog": "it is about to be laned",
        "order": f"it is left to {whose}",
        "turn": f"{whose}: {number(held.current)} tenants before it",
        "lost": f"{whose}: the lane is in no order, the next sweep puts it right",
        "idle": "no work",
    }[held.name]


def remedy(held: Held, names: Names) -> str:
    """What the operator can do; '' where there is nothing to do."""
    kind = (held.scope or "").partition(":")[0]
    name = names.scope(held.scope).partition(" ")[2] if held.scope else ""
    if held.name in ("channels", "cps"):
        if held.name == "cps" and held.limit != 0:
            return ""
        option = "--channels N" if held.name == "channels" else "--cps N"
        command = f"trunkline {kind}s set {name}" if kind in ("carrier", "tenant") else f"trunkline scopes set {held.scope}"
        return (
            f"{'calls have to end; or, if it may have more' if held.name == 'channels' else 'allow it'}: {command} {option}"
        )
    if held.name == "paused":
        if names.without_endpoint(held.scope):
            return f"trunkline create-endpoint {name} GATEWAY IP:PORT"
        if kind in ("carrier", "tenant"):
            return f"trunkline {kind}s resume {name}"
        return f"clear paused of {held.scope} in table scopes"
    return {
        "closed": "the feeder opens it: is it running (trunkline up)?",
        "rebuilding": "wait: it takes a few seconds",
        "unknown": "the feeder states it within a second: is it running (trunkline up)?",
        "unasked": "start a controller whose switch answers: trunkline up, GET /readyz",
        "stopped": "it is tried again by itself; if that lasts, take it out of its routes: trunkline routes set",
        "no_route": "trunkline routes set NAME --prefix P --carrier C",
    }.get(held.name, "")


def unfit(carrier: str, count: int) -> str:
    """The alarm of a trunk that is set up wrongly."""
    refused = "1 call was refused" if count == 1 else f"{count} calls were refused"
    return (
        f"Carrier {carrier} is set up wrongly: of late {refused} for its codecs or its form (488 and the like);"
        " compare its codecs and transport with what the carrier takes (docs/causes.md)."
    )


def live_columns(now: CarrierNow, names: Names) -> dict[str, str | float | None]:
    """A carrier at work, for a table: ``in_use`` (calls + ended ones that still count / limit), ``cps_now``, ``health``,
    ``waiting`` (tenants: urgent/normal/bulk), ``asked_s`` ago, ``held_by``.
    """
    trunk = now.trunk
    lingering = f"+{trunk.lingering}" if trunk.lingering else ""
    return {
        "in_use": f"{trunk.used}{lingering}/{_of(trunk)}",
        "cps_now": f"{number(now.cps)}{' (slowed)' if trunk.slowed else ''}",
        "next_ms": round(now.next_us / 1000),
        "health": now.state if not now.why or now.state == "ok" else f"{now.state}: {now.why}",
        "waiting": "/".join(str(now.waiting[name].tenants) for name in ("urgent", "normal", "bulk")),
        "asked_s": None if now.asked_us is None else round(now.asked_us / 1e6, 1),
        "held_by": limit(now.held, names),
    }


def _of(scope: ScopeNow) -> str:
    return number(scope.limit) if scope.limit == scope.stated else f"{number(scope.limit)} (of {number(scope.stated)})"
