"""Versions of gateways: made from carriers and endpoints, loaded by each switch, taken by new dials, killed at 0 calls.

plan -> each controller renders and loads what is wanted -> loaded -> shift -> users is 0 -> gone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from psycopg.types.json import Jsonb

from calls.ids import new_uuid7
from calls.trunk import gateway_params, gateway_prefix
from store import trunks
from store.pool import Conn, Database
from store.queries import load
from store.records import all_rows, clean, one_row

_SQL = load("gateways")
#: s; a switch that nobody has spoken for so long does not hold up a shift: it loads what it lacks when it is back.
SILENT_S = 60.0

Kind = Literal["look", "apply"]
State = Literal["loaded", "failed", "gone"]


@dataclass(frozen=True, slots=True)
class Version:
    """A gateway as it is rendered; it never changes. ``params`` by sofia's names, without the password; ``secret_env``: the
    variable that holds it, None: it has none. ``retired_at`` set: it takes no new dial.
    """

    gateway: str
    carrier_id: UUID
    endpoint_id: UUID | None
    version: int
    params: dict[str, str]
    secret_env: str | None
    retired_at: datetime | None


@dataclass(frozen=True, slots=True)
class Load:
    """What a switch has of a gateway. ``why``: for people, where it failed."""

    switch: str
    gateway: str
    state: str
    why: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked of a switch's controller; ``done_at`` None: not done yet. ``findings``: what differed afterwards, each
    ``{"gateway", "what", "detail"}``.
    """

    switch: str
    id: UUID
    kind: str
    asked_at: datetime
    done_at: datetime | None
    findings: list[dict[str, Any]]


def plan(db: Database, now: datetime, *, renew: Collection[str] = ()) -> list[Version]:
    """Make the next version of every endpoint whose latest is not what carrier and endpoint say; returns those made.

    ``renew``: carriers of which a next one is made in any case, as when only the password is another.
    """
    return db.run(lambda conn: _plan(conn, now, renew))


def preview(db: Database, now: datetime) -> list[Version]:
    """The versions that there would be after a plan, the latest of each endpoint; nothing is kept."""
    with db.connection() as conn:
        _plan(conn, now, ())
        latest = all_rows(conn, Version, _SQL["latest"])
        conn.rollback()
    return sorted((version for version in latest if version.retired_at is None), key=lambda version: version.gateway)


def not_dialed(db: Database) -> list[str]:
    """Gateways that are to be dialed, and are not: the latest of an endpoint that no switch has, or not every one yet."""
    with db.connection() as conn:
        return [str(row[0]) for row in conn.execute(_SQL["not_dialed"])]


def _plan(conn: Conn, now: datetime, renew: Collection[str]) -> list[Version]:
    conn.execute(_SQL["lock"])
    known = {trunk.id: trunk for trunk in trunks.trunks_in(conn)}
    latest = {version.endpoint_id: version for version in all_rows(conn, Version, _SQL["latest"])}
    made = []
    for endpoint in trunks.endpoints_in(conn):
        trunk = known[endpoint.carrier_id]
        params = gateway_params(trunk, endpoint.address)
        secret_env = trunk.secret_env if trunk.auth == "digest" else None
        last = latest.get(endpoint.id)
        same = last is not None and last.retired_at is None and (last.params, last.secret_env) == (params, secret_env)
        if same and trunk.name not in renew:
            continue
        prefix = gateway_prefix(trunk.name, endpoint.name)
        row = conn.execute(_SQL["last_number"], {"prefix": prefix}).fetchone()
        assert row is not None
        number = int(row[0]) + 1
        version = one_row(
            conn,
            Version,
            _SQL["add"],
            {
                "gateway": f"{prefix}{number}",
                "carrier_id": trunk.id,
                "endpoint_id": endpoint.id,
                "version": number,
                "params": Jsonb(params),
                "secret_env": secret_env,
                "now": now,
            },
        )
        assert version is not None
        conn.execute(_SQL["retire_unused"], {"endpoint_id": endpoint.id, "gateway": version.gateway})
        made.append(version)
    return made


def wanted(db: Database, switch: str | None = None, *, lab: bool = False) -> list[Version]:
    """What a switch is to have, by gateway; None: what any is to have. ``lab``: the switch is the laboratory, which has the
    gateways of its carriers alone, and no other switch has them.
    """
    with db.connection() as conn:
        if switch is None:
            return all_rows(conn, Version, _SQL["all_versions"])
        return all_rows(conn, Version, _SQL["wanted"], {"switch": switch, "lab": lab})


def loads(db: Database, switch: str | None = None) -> list[Load]:
    """What is known of each gateway on each switch, or on one."""
    with db.connection() as conn:
        return all_rows(conn, Load, _SQL["loads"], {"switch": switch})


def put_loads(db: Database, switch: str, states: Mapping[str, tuple[State, str]], now: datetime) -> list[str]:
    """Write down what the switch has (gateway -> state and why), and shift new dials where that makes it possible: the
    gateways that they take from now on.
    """

    def unit(conn: Conn) -> list[str]:
        known = {one.gateway: (one.state, one.why) for one in all_rows(conn, Load, _SQL["loads"], {"switch": switch})}
        for gateway, (state, why) in sorted(states.items()):
            why = clean(why) or ""
            if known.get(gateway) != (state, why):
                params = {"switch": switch, "gateway": gateway, "state": state, "why": why, "now": now}
                conn.execute(_SQL["put_load"], params)
        params = {"silent_s": SILENT_S}
        if conn.execute(_SQL["to_shift"], params).fetchone() is None:
            return []
        conn.execute(_SQL["lock"])
        return [str(row[0]) for row in conn.execute(_SQL["shift"], params)]

    return db.run(unit)


def retired_here(db: Database, switch: str, settle_s: float) -> list[str]:
    """Gateways that take no new dial for ``settle_s`` by the database's clock, and that the switch still has."""
    with db.connection() as conn:
        return [str(row[0]) for row in conn.execute(_SQL["retired_here"], {"switch": switch, "settle_s": settle_s})]


def users(db: Database, switch: str, gateway: str, channels: Collection[UUID]) -> int:
    """How many calls are on the gateway there. ``channels``: the ids of all channels that the switch says it has."""
    with db.connection() as conn:
        params = {"switch": switch, "gateway": gateway, "channels": list(channels)}
        return len(conn.execute(_SQL["users"], params).fetchall())


def order(db: Database, kind: Kind, now: datetime, switch: str | None = None) -> tuple[UUID, list[str]]:
    """Ask the controllers of every switch that was ever seen, or of one; the order's id, and who was asked."""
    order_id = new_uuid7()

    def unit(conn: Conn) -> list[str]:
        params = {"id": order_id, "kind": kind, "now": now, "switch": switch}
        asked = [str(row[0]) for row in conn.execute(_SQL["order"], params)]
        conn.execute(_SQL["notify"])
        return asked

    return order_id, sorted(db.run(unit))


def open_order(db: Database, switch: str) -> Order | None:
    """What the controller of that switch has still to do."""
    with db.connection() as conn:
        return one_row(conn, Order, _SQL["order_of"], {"switch": switch})


def orders(db: Database) -> list[Order]:
    """The latest of each switch."""
    with db.connection() as conn:
        return all_rows(conn, Order, _SQL["orders"])


def done(db: Database, switch: str, order_id: UUID | None, findings: Sequence[Mapping[str, object]], now: datetime) -> None:
    """It was carried out, and this is what still differs; ``order_id`` None: nobody had asked for the look."""
    params = {"switch": switch, "id": order_id or new_uuid7(), "findings": Jsonb(list(findings)), "now": now}
    with db.connection() as conn:
        conn.execute(_SQL["look" if order_id is None else "done"], params)
