"""How a number would be dialed through a carrier, by its rules alone: nothing is dialed, and no switch is asked."""

from __future__ import annotations

from dataclasses import dataclass

from calls import dialing
from calls.numbers import parse_caller_id, parse_destination
from calls.trunk import Trunk
from store import carriers, trunks
from store.carriers import Endpoint
from store.pool import Database


@dataclass(frozen=True, slots=True)
class Preview:
    """``written``: the user part of the request URI. ``route``: that a call to the number takes, None: none; ``served``: by
    this carrier. ``request_uri`` and ``headers`` as the carrier reads them from the first of ``endpoints``.
    """

    trunk: Trunk
    number: str
    country: str | None
    kind: str
    caller: str
    written: str
    route: str | None
    served: bool
    endpoints: list[Endpoint]
    request_uri: str
    headers: list[str]


def preview(db: Database, carrier: str, number: str, caller: str | None = None) -> Preview | None:
    """None: no such carrier. ``caller`` None: the number itself. Errors: ``calls.numbers.NumberError``."""
    to, shown = parse_destination(number), parse_caller_id(caller or number)
    trunk = trunks.get(db, carrier)
    if trunk is None:
        return None
    ways = [end for end in carriers.list_endpoints(db) if end.carrier_id == trunk.id]
    route = carriers.route_for(db, to.e164)
    served = any(one.name == route and trunk.id in one.carriers for one in carriers.list_routes(db))
    address = ways[0].address if ways else "<endpoint>"
    written = dialing.dialed(to.e164, trunk)
    return Preview(
        trunk,
        to.e164,
        to.country,
        to.kind,
        shown.e164,
        written,
        route,
        served,
        ways,
        f"sip:{written.replace('#', '%23')}@{address}",
        dialing.headers(shown.e164, trunk, address),
    )
