"""/v1/operator/carriers/{carrier}/endpoints: where a carrier is, and whether it is dialed there."""

from __future__ import annotations

from typing import Any

from flask import Response
from marshmallow import validates_schema

from calls.trunk import Trunk
from store import trunks
from store.trunks import RenderedEndpoint
from web.api.fields import Request, Text, fault
from web.api.respond import answer, refuses
from web.api.retry_fields import Switch
from web.operator.blueprint import NEEDS, blueprint, changing, missing, named
from web.operator.carrier_fields import CarrierAnswer
from web.operator.carriers import shown
from web.runtime import runtime

_ADDRESS = {"description": "literal ip:port", "example": "192.0.2.10:5060"}


class PutEndpointRequest(Request):
    """An endpoint as it is to be."""

    address = Text(maximum=64, required=True, metadata=_ADDRESS)
    enabled = Switch(metadata={"description": "false: it keeps its gateway, and nothing is dialed there", "default": True})


class ChangeEndpointRequest(Request):
    """What is to change; what is left out stays."""

    address = Text(maximum=64, metadata=_ADDRESS)
    enabled = Switch(metadata={"description": "false: it keeps its gateway, and nothing is dialed there"})

    @validates_schema(pass_original=True)
    def _something(self, _: Any, sent: Any, **__: Any) -> None:
        if not sent:
            raise fault("required", "give at least one thing to change")


@blueprint.put("/carriers/<carrier>/endpoints/<name>", scope=NEEDS)
@blueprint.arguments(PutEndpointRequest)
@blueprint.response(200, CarrierAnswer)
@refuses(blueprint, 400, 404, 413, 415, writes=True)
@blueprint.doc(operationId="operatorPutEndpoint")
def put_endpoint(args: dict[str, Any], carrier: str, name: str) -> Response:
    """Create or replace an endpoint

    Nothing is dialed there before it is applied: `POST /v1/operator/gateways/actions/apply`.
    """
    return _put(_trunk(carrier), named("endpoint", name), args["address"], args.get("enabled", True))


@blueprint.patch("/carriers/<carrier>/endpoints/<name>", scope=NEEDS)
@blueprint.arguments(ChangeEndpointRequest)
@blueprint.response(200, CarrierAnswer)
@refuses(blueprint, 400, 404, 413, 415, writes=True)
@blueprint.doc(operationId="operatorChangeEndpoint")
def change_endpoint(args: dict[str, Any], carrier: str, name: str) -> Response:
    """Enable or disable an endpoint, or move it

    Enabling acts at once; another address when it is applied.
    """
    trunk = _trunk(carrier)
    old = _endpoint(trunk, name)
    return _put(trunk, name, args.get("address", old.address), args.get("enabled", old.enabled))


@blueprint.delete("/carriers/<carrier>/endpoints/<name>", scope=NEEDS)
@blueprint.response(200, CarrierAnswer)
@refuses(blueprint, 404, writes=True)
@blueprint.doc(operationId="operatorRemoveEndpoint")
def remove_endpoint(carrier: str, name: str) -> Response:
    """Remove an endpoint

    No new dial goes there; its gateways are killed when their calls are over.
    """
    trunk = _trunk(carrier)
    with changing() as change:
        if not trunks.remove_endpoint(change.database, trunk.name, named("endpoint", name)):
            raise missing("endpoint", name)
        change.note("endpoint.removed", f"carrier:{trunk.name}", {"endpoint": name})
    return answer(shown(trunk.name))


def _put(trunk: Trunk, name: str, address: str, enabled: bool) -> Response:
    with changing() as change:
        trunks.put_endpoint(
            change.database, carrier_id=trunk.id, carrier=trunk.name, name=name, address=address, enabled=enabled
        )
        data = {"endpoint": name, "address": address, "enabled": enabled}
        change.note("endpoint.put", f"carrier:{trunk.name}", data)
    return answer(shown(trunk.name))


def _trunk(carrier: str) -> Trunk:
    found = trunks.get(runtime().database, named("carrier", carrier))
    if found is None:
        raise missing("carrier", carrier)
    return found


def _endpoint(trunk: Trunk, name: str) -> RenderedEndpoint:
    for one in trunks.list_endpoints(runtime().database):
        if (one.carrier_id, one.name) == (trunk.id, name):
            return one
    raise missing("endpoint", name)
