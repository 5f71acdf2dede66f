"""The laboratory for calls of test keys, as the rows have it: one carrier, its endpoint, and the route that leads there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from calls.test_numbers import NO_NUMBER, TEST_ROUTE
from store import carriers, trunks
from store.joined import join
from store.pool import Database
from store.queries import load
from store.records import one_row

_SQL = load("test_lab")
#: The laboratory's carrier, and its endpoint's name.
CARRIER, ENDPOINT = "test", "lab"
#: s; between OPTIONS of its gateway: a laboratory that was started again is dialed soon.
PING_S = 5


@dataclass(frozen=True, slots=True)
class Laboratory:
    """``keys``: test keys in force. ``switches``: laboratory switches of which a controller spoke since the moment that was
    asked for. ``routed``: the test route is there.
    """

    keys: int
    switches: int
    routed: bool


def set_up(db: Database, *, address: str, max_channels: int, cps: float) -> None:
    """Carrier, endpoint and route as they are to be, all of it or nothing; safe twice. ``address``: of lab.carrier, a
    literal ip:port. Its gateway is rendered when carriers are applied. Errors: ``ValueError`` naming what is in the way.
    """
    with join(db) as joined:
        known = [route for route in carriers.list_routes(joined) if route.name == TEST_ROUTE]
        carrier = carriers.put_carrier(joined, name=CARRIER, max_channels=max_channels, cps=cps, lab=True)
        if any(route.carriers != (carrier.id,) for route in known):
            raise ValueError(
                f"route {TEST_ROUTE!r}: there is one, and it leads elsewhere, though the name is kept for test keys' calls:"
                " set that route under another name, then remove this one"
            )
        trunks.update(joined, CARRIER, ping_s=PING_S)
        trunks.put_endpoint(joined, carrier_id=carrier.id, carrier=CARRIER, name=ENDPOINT, address=address)
        carriers.put_route(joined, name=TEST_ROUTE, prefixes=[NO_NUMBER], carriers=[carrier.id])


def look(db: Database, since: datetime) -> Laboratory:
    """How the laboratory stands; its switches that a controller has spoken for after ``since``."""
    with db.connection() as conn:
        found = one_row(conn, Laboratory, _SQL["look"], {"since": since, "route": TEST_ROUTE})
    assert found is not None
    return found
