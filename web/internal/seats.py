"""POST /internal/seats: what a keeper of the fleet says of its seats. Not part of the public API.

One request holds all that the keeper has. It is sent every second and whenever something changes: the first registers, the
next are its heartbeat, ``leaving`` drains. Saying the same twice changes nothing,
nor does what arrives after something that its keeper said later (``seq``). A seat that is not heard of for
``seat_hold_s`` takes no call. Redis away: 503, and live calls go on.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify, request
from redis.exceptions import RedisError

from budget import seats
from web.internal.seats_body import MAX_BYTES, read_seats
from web.jsonbody import read_json
from web.problems import unavailable
from web.runtime import runtime

blueprint = Blueprint("seats", __name__, url_prefix="/internal")


@blueprint.post("/seats")
def take_seats() -> Response:
    """``{"hold_s": 3.0, "seats": [{"name": ..., "state": "free", "attempt": null}], "pools": {"desk": {"token_key":
    ...}}}``, the seats in the order that was sent. A pool that there is not is null; of one that Postgres says nothing about
    there is nothing.
    """
    keeper, seq, said = read_seats(read_json(request, MAX_BYTES))
    ours = runtime()
    hold_s = ours.settings.seat_hold_s
    try:
        stand = seats.say(ours.redis, keeper, hold_s, said, seq)
    except RedisError:
        raise unavailable("redis") from None
    told = [_show(one, stands) for one, stands in zip(said, stand, strict=True)]
    keys = ours.pool_keys.of({one.pool for one in said})
    pools = {name: None if key is None else {"token_key": key} for name, key in keys.items()}
    return jsonify({"hold_s": hold_s, "seats": told, "pools": pools})


def _show(one: seats.Said, stands: seats.Stands) -> dict[str, Any]:
    attempt = stands.attempt_id
    return {"name": one.name, "state": stands.state, "attempt": None if attempt is None else str(attempt)}
