"""A carrier's endpoint gets another address while calls are up: none is dropped, new dials take the new gateway, and the old
one goes when its last call is over. And what the carrier reads is worded as it wants it.

On the simulated switch, or with FREESWITCH_ESL, FREESWITCH_PASSWORD and FREESWITCH_GATEWAY_DIR on a FreeSWITCH
(docs/real-freeswitch.md), where the figures come from: TRUNKLINE_EDIT_CALLS says how many calls are up.
"""

from __future__ import annotations

import json
import os
import pathlib
import time
from collections.abc import Iterator
from typing import Any

import pytest

from lab.judge import judge, read_log
from store import carriers, gateways, trunks
from store.gateways import Load
from tests.system.conftest import CHECKOUT
from tests.system.house import SHARED
from tests.system.test_one_call import SILENT_CALLEE, Caller
from trunkline.children import wait_until
from trunkline.given_switch import GivenSwitch
from trunkline.stack import LabCarrier, Route, Stack

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

CALLS = int(os.environ.get("TRUNKLINE_EDIT_CALLS", "6"))
#: With everything that XML and the switch's own reader would take for theirs.
PASSWORD = "a\"b'c<d>&e$${sip_ip}f;g=h,i j"
#: What the carrier is told of itself, so that every wish differs from the usual.
WISHES: dict[str, Any] = {
    "number_format": "national",
    "country_code": "1",
    "national_prefix": "0",
    "tech_prefix": "77#",
    "caller_format": "digits",
    "from_domain": "trunk.example",
    "codecs": ["PCMA", "PCMU"],
}


def given_switch() -> GivenSwitch | None:
    """The FreeSWITCH of the environment, or None."""
    if not (esl := os.environ.get("FREESWITCH_ESL")) or not (directory := os.environ.get("FREESWITCH_GATEWAY_DIR")):
        return None
    host, _, port = esl.rpartition(":")
    return GivenSwitch(
        (host, int(port)),
        os.environ["FREESWITCH_PASSWORD"],
        {},
        user_password=os.environ.get("FREESWITCH_TRUNKLINE_PASSWORD", ""),
        gateway_dir=directory,
    )


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """Calls go to one; two is where it moves to; three wants digest."""
    labs = [LabCarrier(name, CALLS + 10, 30) for name in ("one", "two")]
    labs.append(LabCarrier("three", 5, 5, options=("--challenge", "--user", "u7", "--password-env", "LAB_DIGEST")))
    os.environ["LAB_DIGEST"] = PASSWORD
    routes = [Route("all", ("",), ("one",)), Route("digest", ("1213",), ("three",))]
    environ = SHARED | {"TRUNKLINE_SECRET_THREE": PASSWORD}
    with Stack(CHECKOUT, labs, routes, environ=environ, private=True, switch=given_switch()) as running:
        yield running
    del os.environ["LAB_DIGEST"]


def invites(stack: Stack, carrier: str) -> list[dict[str, Any]]:
    return [fact for fact in read_log(stack.arrivals(carrier)) if fact["k"] == "invite"]


def carrier_id(stack: Stack, name: str) -> Any:
    return next(c.id for c in carriers.list_limits(stack.db) if c.name == name)


def move(stack: Stack, to: str) -> None:
    """Carrier one is reached at the address of that lab carrier from now on."""
    address = stack.carrier_addresses[to]
    trunks.put_endpoint(stack.db, carrier_id=carrier_id(stack, "one"), carrier="one", name="lab", address=address)
    stack.apply_carriers()


def loads(stack: Stack) -> dict[str, Load]:
    return {load.gateway: load for load in gateways.loads(stack.db, "fs1")}


def test_an_edit_touches_no_live_call(stack: Stack) -> None:
    caller = Caller(stack, "acme")
    up = [caller.post(SILENT_CALLEE, max_duration_s=200) for _ in range(CALLS)]
    for call in up:
        caller.wait_status(call, "in_progress", timeout_s=60)
    assert loads(stack)["one-lab-v1"].state == "loaded"

    began = time.monotonic()
    move(stack, "two")
    applied_s = time.monotonic() - began
    new = caller.post(SILENT_CALLEE, max_duration_s=200)
    caller.wait_status(new, "in_progress", timeout_s=60)
    (attempt,) = caller.see(new, "/attempts")["data"]
    assert [fact["call_id"] for fact in invites(stack, "two")] == [attempt["id"]]
    assert len(invites(stack, "one")) == CALLS

    time.sleep(4.0)  # longer than a retired gateway is left alone
    assert loads(stack)["one-lab-v1"].state == "loaded", "calls are on it"
    assert {caller.see(call)["status"] for call in up} == {"in_progress"}
    facts = [fact["k"] for fact in read_log(stack.arrivals("one"))]
    assert not {"bye", "bye_sent", "end", "retransmit"} & set(facts), "no call of theirs ended"

    for call in up:
        assert caller.api.post(f"{call}/actions/hangup", {}).status in (200, 202)
    for call in up:
        ended = caller.wait_status(call, "completed", "failed", timeout_s=60)
        assert (ended["status"], ended["end_reason"], ended["hangup_by"]) == ("completed", "hangup", "customer")
    over = time.monotonic()
    wait_until("the old gateway to go", lambda: loads(stack)["one-lab-v1"].state == "gone", timeout_s=60)
    gone_s = time.monotonic() - over
    assert caller.see(new)["status"] == "in_progress"
    assert caller.api.post(f"{new}/actions/hangup", {}).status in (200, 202)
    caller.wait_status(new, "completed", timeout_s=60)
    assert judge(stack.arrivals("one")).violations == judge(stack.arrivals("two")).violations == []
    facts_told = {"calls": CALLS, "apply to new dials": f"{applied_s:.2f} s", "last call over to killed": f"{gone_s:.2f} s"}
    print(json.dumps(facts_told))


def test_the_carrier_reads_numbers_and_caller_as_it_wants_them(stack: Stack) -> None:
    caller = Caller(stack, "globex")

    def dial() -> dict[str, Any]:
        """The INVITE of one more call, as the carrier read it."""
        before = len(invites(stack, "two"))
        call = caller.post(SILENT_CALLEE)
        caller.wait_status(call, "in_progress", timeout_s=60)
        (invite,) = invites(stack, "two")[before:]
        assert caller.api.post(f"{call}/actions/hangup", {}).status in (200, 202)
        caller.wait_status(call, "completed", timeout_s=60)
        return invite

    usual = dial()
    assert usual["uri"].startswith(f"sip:{SILENT_CALLEE}@{stack.carrier_addresses['two']}")
    assert usual["from"].startswith('"+12025550100" <sip:+12025550100@')
    assert usual["pai"].startswith('"+12025550100" <sip:+12025550100@')
    assert (usual["privacy"], usual["codecs"]) == ("none", ["PCMU", "PCMA"])

    trunks.update(stack.db, "one", **WISHES)
    stack.apply_carriers()
    time.sleep(1.2)  # what is of the call acts within a second
    wished = dial()
    # In a URI a hash begins something else, so it travels as %23.
    assert wished["uri"].startswith(f"sip:77%230{SILENT_CALLEE.removeprefix('+1')}@{stack.carrier_addresses['two']}")
    assert wished["from"] == '"12025550100" <sip:12025550100@trunk.example>'
    assert wished["pai"] == '"12025550100" <sip:12025550100@trunk.example>'
    assert wished["codecs"] == ["PCMA", "PCMU"]

    trunks.update(stack.db, "one", privacy="id")
    time.sleep(1.2)
    withheld = dial()
    assert withheld["from"] == '"Anonymous" <sip:anonymous@anonymous.invalid>'
    assert (withheld["pai"], withheld["privacy"]) == ('"12025550100" <sip:12025550100@trunk.example>', "id")

    trunks.update(
        stack.db, "one", privacy="none", caller_header="rpid", caller_in_from=False, from_user="account7", tech_prefix=""
    )
    stack.apply_carriers()
    time.sleep(1.2)
    rpid = dial()
    assert rpid["from"] == '"12025550100" <sip:account7@trunk.example>'
    assert rpid["rpid"] == '"12025550100" <sip:12025550100@trunk.example>;party=calling;screen=yes;privacy=off'
    assert "pai" not in rpid

    trunks.update(stack.db, "one", caller_header="none")
    time.sleep(1.2)
    assert {"pai", "ppi", "rpid", "privacy"}.isdisjoint(dial())


def test_a_digest_carrier_is_answered_with_its_password(stack: Stack) -> None:
    trunks.update(stack.db, "three", auth="digest", username="u7", secret_env="TRUNKLINE_SECRET_THREE")
    stack.apply_carriers()
    caller = Caller(stack, "initech")
    call = caller.post("+12135550122")
    caller.wait_status(call, "in_progress", timeout_s=60)
    (attempt,) = caller.see(call, "/attempts")["data"]
    assert [fact["verdict"] for fact in invites(stack, "three")] == ["challenged", "admitted"]
    assert {fact["call_id"] for fact in invites(stack, "three")} == {attempt["id"]}
    assert caller.api.post(f"{call}/actions/hangup", {}).status in (200, 202)
    caller.wait_status(call, "completed", timeout_s=60)
    directory = stack.places[0].gateways
    for path in pathlib.Path(directory).glob("three-*.xml"):
        assert PASSWORD not in path.read_text()
    assert (pathlib.Path(directory) / "three-lab-v2.xml").stat().st_mode & 0o777 == 0o600
