"""/v1/operator/tenants/{tenant}/keys: the API keys of a tenant, as its operator makes and ends them."""

from __future__ import annotations

from typing import Any

from flask import Response, url_for

from calls.ids import key_ref
from store import keys
from web.api.headers import LOCATION_HEADER
from web.api.key_fields import (
    KeyAnswer,
    KeyPage,
    KeysQuery,
    NewKeyAnswer,
    NewKeyRequest,
    RotatedKeyAnswer,
    RotateKeyRequest,
    show,
)
from web.api.keys import of_key, refused, rotated
from web.api.respond import answer, page, path_id, refuses
from web.operator.blueprint import LOOK_FIRST, NEEDS, actor, blueprint, changing
from web.operator.tenants import the_tenant
from web.problems import not_found
from web.runtime import runtime


@blueprint.post("/tenants/<tenant>/keys", scope=NEEDS)
@blueprint.arguments(NewKeyRequest)
@blueprint.response(201, NewKeyAnswer, headers=LOCATION_HEADER)
@refuses(blueprint, 400, 404, 409, 413, 415, writes=True)
@blueprint.doc(operationId="operatorCreateKey")
def create_tenant_key(args: dict[str, Any], tenant: str) -> Response:
    """Create an API key of a tenant

    `key` in the answer is the key itself, this once. It may have any scope of a tenant's.
    """
    ours, owner = runtime(), the_tenant(tenant)
    try:
        with changing(LOOK_FIRST) as change:
            made, plaintext = keys.create(
                change.database,
                tenant_id=owner.id,
                name=args["name"],
                scopes=args["scopes"],
                mode=args["mode"],
                allowed_ips=args.get("allowed_ips"),
                expires_at=args.get("expires_at"),
                now=ours.now(),
                most=ours.settings.tenant_max_keys,
            )
            change.note("key.created", f"key:{made.prefix}", of_key(made, owner.name))
    except (keys.KeyNameTaken, keys.TooManyKeys) as error:
        raise refused(error) from None
    where = url_for("operator.get_tenant_key", tenant=tenant, key_id=key_ref(made.id))
    return answer({**show(made), "key": plaintext}, 201, {"Location": where})


@blueprint.get("/tenants/<tenant>/keys", scope=NEEDS)
@blueprint.arguments(KeysQuery, location="query")
@blueprint.response(200, KeyPage)
@refuses(blueprint, 404)
@blueprint.doc(operationId="operatorListKeys")
def list_tenant_keys(query: dict[str, Any], tenant: str) -> Response:
    """List a tenant's keys, newest first"""
    limit, owner = query["limit"], the_tenant(tenant)
    return page(keys.page(runtime().database, owner.id, limit + 1, query.get("starting_after")), limit, show)


@blueprint.get("/tenants/<tenant>/keys/<key_id>", scope=NEEDS)
@blueprint.response(200, KeyAnswer)
@refuses(blueprint, 404)
@blueprint.doc(operationId="operatorGetKey")
def get_tenant_key(tenant: str, key_id: str) -> Response:
    """Read a key of a tenant"""
    return answer(show(_key(tenant, key_id)))


@blueprint.post("/tenants/<tenant>/keys/<key_id>/rotate", scope=NEEDS)
@blueprint.arguments(RotateKeyRequest)
@blueprint.response(201, RotatedKeyAnswer, headers=LOCATION_HEADER)
@refuses(blueprint, 400, 404, 409, 413, 415, writes=True)
@blueprint.doc(operationId="operatorRotateKey")
def rotate_tenant_key(args: dict[str, Any], tenant: str, key_id: str) -> Response:
    """Have a key of a tenant followed by another

    As `POST /v1/keys/{id}/rotate`.
    """
    where = "operator.get_tenant_key"
    return rotated(actor(), _key(tenant, key_id), args, lambda made: url_for(where, tenant=tenant, key_id=key_ref(made.id)))


@blueprint.delete("/tenants/<tenant>/keys/<key_id>", scope=NEEDS)
@blueprint.response(200, KeyAnswer)
@refuses(blueprint, 404, writes=True)
@blueprint.doc(operationId="operatorRevokeKey")
def revoke_tenant_key(tenant: str, key_id: str) -> Response:
    """Revoke a key of a tenant

    From the next request on it opens nothing. Asking again changes nothing.
    """
    owner = the_tenant(tenant)
    with changing() as change:
        found = keys.revoke_own(change.database, owner.id, path_id("key", key_id), runtime().now())
        if found is None:
            raise not_found("key")
        change.note("key.revoked", f"key:{found.prefix}", {"tenant": owner.name, "name": found.name})
    return answer(show(found))


def _key(tenant: str, key_id: str) -> keys.ApiKey:
    found = keys.get(runtime().database, the_tenant(tenant).id, path_id("key", key_id))
    if found is None:
        raise not_found("key")
    return found
