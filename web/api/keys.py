"""/v1/keys: a tenant's own API keys, made, rotated and revoked by one of them that may.

Whoever has a key can never get more by it than the key itself may: not another scope, not another network, not a longer
life than a key that ends has.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from flask import Response, url_for

from calls.access import within
from calls.ids import key_ref
from store import keys
from store.keys import ApiKey
from store.snapshot import stamp
from web import auth
from web.access import missing_scope
from web.api.changes import changing
from web.api.headers import LOCATION_HEADER
from web.api.key_fields import (
    KeyAnswer,
    KeyPage,
    KeysQuery,
    NewKeyAnswer,
    NewKeyRequest,
    RotatedKeyAnswer,
    RotateKeyRequest,
    cidrs,
    show,
)
from web.api.parser import Blueprint
from web.api.respond import answer, page, path_id, refuses
from web.auth import tenant
from web.problems import FieldError, Problem, invalid, not_found
from web.runtime import runtime

blueprint = Blueprint("keys", __name__, url_prefix="/v1/keys", description="API keys of your account")

_LOOK_FIRST = "Look for it (GET /v1/keys) before you send it again; a key whose text did not reach you is to be revoked."
_ASK_AGAIN = "Ask again: asking twice changes nothing."
_CODES: dict[type[Exception], str] = {
    keys.TooManyKeys: "too_many_keys",
    keys.NotInForce: "not_in_force",
    keys.TwoInForce: "two_in_force",
}


@blueprint.post("", scope="keys:manage")
@blueprint.arguments(NewKeyRequest)
@blueprint.response(201, NewKeyAnswer, headers=LOCATION_HEADER)
@refuses(blueprint, 400, 409, 413, 415, writes=True)
@blueprint.doc(operationId="createKey")
def create_key(args: dict[str, Any]) -> Response:
    """Create a key

    `key` in the answer is the key itself, this once: only a hash of it is kept. It may do what you name in `scopes`, which
    must be among the scopes of the key of this request; it is bound to the networks and to the end of that key, unless you
    give narrower ones.
    """
    own, ours = auth.key(), runtime()
    for scope in args["scopes"]:
        if scope not in own.scopes:
            raise missing_scope(scope, ", and so cannot give")
    allowed_ips = args.get("allowed_ips", own.allowed_ips)
    expires_at = args.get("expires_at", own.expires_at)
    faults = []
    if not within(allowed_ips, own.allowed_ips):
        faults.append(FieldError("/allowed_ips", "beyond_own_key", f"must lie within {_nets(own.allowed_ips)}"))
    if own.expires_at is not None and (expires_at is None or expires_at > own.expires_at):
        faults.append(FieldError("/expires_at", "beyond_own_key", "must not be later than the end of the key you use"))
    if faults:
        raise invalid(*faults)
    try:
        with changing(f"key:{own.prefix}", _LOOK_FIRST) as change:
            made, plaintext = keys.create(
                change.database,
                tenant_id=tenant().id,
                name=args["name"],
                scopes=args["scopes"],
                mode=args["mode"],
                allowed_ips=allowed_ips,
                expires_at=expires_at,
                now=ours.now(),
                most=ours.settings.tenant_max_keys,
            )
            change.note("key.created", f"key:{made.prefix}", of_key(made, tenant().name))
    except (keys.KeyNameTaken, keys.TooManyKeys) as error:
        raise refused(error) from None
    return answer({**show(made), "key": plaintext}, 201, {"Location": _where(made)})


@blueprint.get("", scope="keys:manage")
@blueprint.arguments(KeysQuery, location="query")
@blueprint.response(200, KeyPage)
@refuses(blueprint)
@blueprint.doc(operationId="listKeys")
def list_keys(query: dict[str, Any]) -> Response:
    """List keys, newest first

    Those that are expired or revoked too.
    """
    limit = query["limit"]
    found = keys.page(runtime().database, tenant().id, limit + 1, query.get("starting_after"))
    return page(found, limit, show)


@blueprint.get("/<key_id>", scope="keys:manage")
@blueprint.response(200, KeyAnswer)
@refuses(blueprint, 404)
@blueprint.doc(operationId="getKey")
def get_key(key_id: str) -> Response:
    """Read a key"""
    found = keys.get(runtime().database, tenant().id, path_id("key", key_id))
    if found is None:
        raise not_found("key")
    return answer(show(found))


@blueprint.post("/<key_id>/rotate", scope="keys:manage")
@blueprint.arguments(RotateKeyRequest)
@blueprint.response(201, RotatedKeyAnswer, headers=LOCATION_HEADER)
@refuses(blueprint, 400, 404, 409, 413, 415, writes=True)
@blueprint.doc(operationId="rotateKey")
def rotate_key(args: dict[str, Any], key_id: str) -> Response:
    """Have a key followed by another

    The second key may do the same from the same networks, and lives as long as the first was made for, but never longer than
    the key of this request. Both are in force
    until the first is revoked or ends, after `old_expires_in_s` at the latest if you give it. There are never more than two:
    409 with the code `two_in_force` means that the last rotation is not finished.
    """
    own, ours = auth.key(), runtime()
    wanted = path_id("key", key_id)
    old = keys.get(ours.database, tenant().id, wanted)
    if old is None:
        raise not_found("key")
    _may_have(old)
    return rotated(f"key:{own.prefix}", old, args, _where, own.expires_at)


def rotated(
    actor: str, old: ApiKey, args: dict[str, Any], where: Callable[[ApiKey], str], until: datetime | None = None
) -> Response:
    """Do it, for whoever may, and answer with the new key, which ends by ``until``; ``where`` it can be read."""
    ours = runtime()
    now, overlap_s = ours.now(), args.get("old_expires_in_s")
    try:
        with changing(actor, _LOOK_FIRST) as change:
            done = keys.rotate(
                change.database,
                tenant_id=old.tenant_id,
                key_id=old.id,
                now=now,
                old_expires_at=None if overlap_s is None else now + timedelta(seconds=overlap_s),
                until=until,
            )
            if done is None:
                raise not_found("key")
            before, made, plaintext = done
            change.note("key.rotated", f"key:{old.prefix}", {"new": made.prefix, "old_expires_in_s": overlap_s})
    except (keys.NotInForce, keys.TwoInForce) as error:
        raise refused(error) from None
    return answer({**show(made), "key": plaintext, "replaces": show(before)}, 201, {"Location": where(made)})


@blueprint.delete("/<key_id>", scope="keys:manage")
@blueprint.response(200, KeyAnswer)
@refuses(blueprint, 404, writes=True)
@blueprint.doc(operationId="revokeKey")
def revoke_key(key_id: str) -> Response:
    """Revoke a key

    From the next request on it opens nothing, also when it is the key of this very request. Asking again changes nothing.
    """
    own = auth.key()
    with changing(f"key:{own.prefix}", _ASK_AGAIN) as change:
        found = keys.revoke_own(change.database, tenant().id, path_id("key", key_id), runtime().now())
        if found is None:
            raise not_found("key")
        change.note("key.revoked", f"key:{found.prefix}", {"tenant": tenant().name, "name": found.name})
    return answer(show(found))


def _may_have(old: ApiKey) -> None:
    """Refuse who would get, by the key that follows, more than its own key may."""
    own = auth.key()
    for scope in old.scopes:
        if scope not in own.scopes:
            raise missing_scope(scope, ", and so cannot have the key that follows")
    longer = own.expires_at is not None and old.expires_at is None
    if longer or not within(old.allowed_ips, own.allowed_ips):
        what = "has no end, and yours has one" if longer else f"may be used from beyond {_nets(own.allowed_ips)}"
        raise Problem(403, "beyond_own_key", f"That key {what}. Use a key that may as much to rotate it.")


def _where(made: ApiKey) -> str:
    return url_for("keys.get_key", key_id=key_ref(made.id))


def _nets(nets: list[Any] | None) -> str:
    return ", ".join(cidrs(nets or []))


def refused(error: Exception) -> Problem:
    """409 for what the store says of keys."""
    if isinstance(error, keys.KeyNameTaken):
        detail = "a key of this name is in force already: rotate it, revoke it, or choose another name"
        return Problem(409, "name_taken", "name: " + detail, [FieldError("/name", "name_taken", detail)])
    return Problem(409, _CODES[type(error)], f"Nothing was done: {error}.")


def of_key(key: ApiKey, tenant_name: str) -> dict[str, Any]:
    """What the ledger keeps of a key that was made."""
    return {
        "tenant": tenant_name,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "mode": key.mode,
        "allowed_ips": None if key.allowed_ips is None else cidrs(key.allowed_ips),
        "expires_at": stamp(key.expires_at),
    }
