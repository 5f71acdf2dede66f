"""A hangup is an action with a name: asked for twice it is the same one, and what came of it can be read."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from calls.evidence import End, Evidence, Source, State
from calls.ids import parse_ref
from calls.retry import RetryRules
from store import attempts, carriers, commands
from store.hangup import request_hangup
from tests.web.conftest import Api, World

Order = Callable[..., dict[str, Any]]


def dialing(api: Api, world: World, order: Order) -> str:
    """The path of a call that is being dialed."""
    path: str = api.post("/v1/calls", order()).headers["Location"]
    (attempt,) = api.get(f"{path}/attempts").get_json()["data"]
    carrier = carriers.put_carrier(world.database, name="lab", max_channels=5, cps=5)
    carriers.put_endpoint(world.database, carrier_id=carrier.id, gateway="lab", address="127.0.0.1:5060")
    claim = attempts.claim(
        world.database, UUID(attempt["id"]), fence=1, epoch=0, switch="fs1", carrier_id=carrier.id,
        pdd_s=25,
    )  # fmt: skip
    assert isinstance(claim, attempts.Claimed), claim
    return path


def hang_up(api: Api, path: str, key: str | None = None) -> str:
    """Asks for it; where the action can be read."""
    response = api.post(f"{path}/actions/hangup", headers={} if key is None else {"Idempotency-Key": key})
    assert response.status_code == 202
    return str(response.headers["Location"])


def open_commands(world: World) -> int:
    return len(commands.list_open(world.database, "fs1"))


def test_the_same_key_is_the_same_action_even_after_it_was_carried_out(api: Api, world: World, order: Order) -> None:
    path = dialing(api, world, order)
    first = hang_up(api, path, "once")
    assert hang_up(api, path, "once") == first
    (row,) = commands.list_open(world.database, "fs1")
    asked = api.get(first).get_json()
    assert (asked["status"], asked["result"], asked["idempotency_key"]) == ("requested", None, "once")
    commands.finish(world.database, row.id, "killed", datetime.now(UTC))

    assert hang_up(api, path, "once") == first
    assert open_commands(world) == 0  # without its name this would be a new one
    done = api.get(f"{path}/actions/once").get_json()
    assert done == api.get(first).get_json()
    assert (done["status"], done["result"], done["requested_by"]) == ("done", "hung_up", "customer")
    hang_up(api, path)
    assert open_commands(world) == 1


def test_each_key_is_an_action_of_its_own(api: Api, world: World, order: Order) -> None:
    path = dialing(api, world, order)
    assert hang_up(api, path, "one") != hang_up(api, path, "two")
    # Without a key it is one that is under way already.
    assert hang_up(api, path) in {hang_up(api, path, "one"), hang_up(api, path, "two")}
    assert [one["idempotency_key"] for one in api.get(f"{path}/actions").get_json()["data"]] == ["one", "two"]


def test_what_waits_is_canceled_and_that_is_on_record(api: Api, world: World, order: Order) -> None:
    before = open_commands(world)
    path = api.post("/v1/calls", order()).headers["Location"]
    action = hang_up(api, path, "k")
    assert api.get(action).get_json()["result"] == "canceled"
    assert hang_up(api, path, "k") == action
    late = hang_up(api, path, "late")
    assert api.get(late).get_json()["result"] == "already_ended"
    assert open_commands(world) == before


def test_the_end_of_the_call_closes_what_is_open(api: Api, world: World, order: Order) -> None:
    path = dialing(api, world, order)
    action = hang_up(api, path, "k")
    (attempt,) = api.get(f"{path}/attempts").get_json()["data"]
    now = datetime.now(UTC)
    end = End("USER_BUSY", now, q850_cause=17, sip_code=486)
    busy = Evidence(UUID(attempt["id"]), "core:1", Source.EVENT, State.ENDED, now, end)
    attempts.apply_evidence(world.database, [busy], rules=RetryRules(), timers=attempts.FixedTimers(25, 5.0, 30.0), now=now)
    assert api.get(action).get_json()["result"] == "ended"


def test_actions_are_their_tenants_own(api: Api, world: World, order: Order) -> None:
    path = dialing(api, world, order)
    action = hang_up(api, path, "k")
    for foreign in (action, f"{path}/actions", f"{path}/actions/k"):
        assert api.get(foreign, key=world.their_key).status_code == 404
    other = api.post("/v1/calls", order()).headers["Location"]
    assert api.get(f"{other}/actions/{action.rpartition('/')[2]}").status_code == 404


def test_an_operators_hangup_can_be_read_too(api: Api, world: World, order: Order) -> None:
    path = dialing(api, world, order)
    request_hangup(world.database, world.ours.id, parse_ref("call", path.rpartition("/")[2]), "operator", datetime.now(UTC))
    (action,) = api.get(f"{path}/actions").get_json()["data"]
    assert (action["requested_by"], action["idempotency_key"]) == ("operator", None)
