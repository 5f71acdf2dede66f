"""The carriers, endpoints and routes of a Stack in Postgres, and its switches' gateways made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from uuid import UUID

from store import carriers, gateways, trunks
from store.pool import Database
from trunkline.children import wait_until
from trunkline.lab_parts import LabCarrier, Route

#: s; between the OPTIONS of a lab switch: a carrier that comes back is dialed again soon.
PING_S = 5


def put_carriers(
    db: Database, labs: Sequence[LabCarrier], routes: Sequence[Route], addresses: Mapping[str, str], given: Mapping[str, str]
) -> None:
    """Everything that says where a call may go. `addresses`: of each lab carrier; `given`: the gateways that a given switch
    has already, by carrier; for all others they are rendered by the controllers.
    """
    ids: dict[str, UUID] = {}
    for lab in labs:
        limits = carriers.put_carrier(db, name=lab.name, max_channels=lab.channels, cps=lab.cps, invite_cost=lab.invite_cost)
        carrier_id = ids[lab.name] = limits.id
        address = addresses[lab.name]
        if lab.name in given:
            carriers.put_endpoint(db, carrier_id=carrier_id, gateway=given[lab.name], address=address)
        else:
            trunks.update(db, lab.name, ping_s=PING_S)
            trunks.put_endpoint(db, carrier_id=carrier_id, carrier=lab.name, name="lab", address=address)
    for route in routes:
        order = [carriers.RouteCarrier(ids[name], tier=tier) for tier, name in enumerate(route.carriers, 1)]
        carriers.put_route(db, name=route.name, prefixes=route.prefixes, carriers=order)


def apply_carriers(db: Database, timeout_s: float) -> None:
    """As trunkline carriers apply does; returns when new dials take what the carriers say. Errors: TimeoutError."""
    gateways.plan(db, datetime.now(UTC))
    gateways.order(db, "apply", datetime.now(UTC))
    wait_until("gateways to be dialed", lambda: not gateways.not_dialed(db), timeout_s=timeout_s)
