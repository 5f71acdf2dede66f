"""The check-up of a whole house and of the laboratory beside it: what it says of one that is well, where calls then go, and
what it says of the same with something broken.
"""

from __future__ import annotations

import json
import os
import pathlib
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from calls.test_numbers import FATES
from lab.judge import read_log
from store import carriers
from tests.system.house import ENDED, House
from trunkline.api import Api
from trunkline.stack import LabCarrier, Route, Stack

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    carrier = LabCarrier("one", channels=10, cps=5)
    with Stack(ROOT, [carrier], [Route("all", ("",), ("one",))], lab=True) as running:
        running.reference_agent(running.account("acme"))
        yield running


def doctor(stack: Stack, *options: str, **environ: str) -> tuple[int, list[dict[str, Any]]]:
    """Exit status and findings of the command, beside the stack's switch."""
    ours = {"DATABASE_URL": stack.database_url, "REDIS_URL": stack.redis_url, **stack.places[0].environ(), **environ}
    done = subprocess.run(
        [sys.executable, "-c", "from trunkline.cli import main; main()", "doctor", "--json", *options],
        env={**os.environ, **ours},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return done.returncode, found


def bad(found: list[dict[str, Any]]) -> list[str]:
    assert all(one["remedy"] for one in found if one["level"] != "ok")
    return [f"{one['about']}: {one['what']}" for one in found if one["level"] == "fail"]


def test_a_house_that_is_well(stack: Stack) -> None:
    status, found = doctor(stack)
    assert (status, bad(found)) == (0, [])
    assert {"Postgres", "Redis", "switch fs1", "playback", "agents"} <= {one["about"] for one in found}
    assert "test keys" in {one["about"] for one in found}
    assert stack.laboratory is not None
    status, found = doctor(stack, **stack.laboratory.environ())
    assert (status, bad(found)) == (0, [])
    assert "1 gateways UP" in {one["what"] for one in found if one["about"] == "switch lab1"}
    # The simulated switch says the version that was recorded, which is one with known holes.
    assert doctor(stack, "--strict")[0] == 1


def test_calls_of_a_test_key_go_to_the_laboratory_and_end_as_documented(stack: Stack) -> None:
    """And nobody else's do; the house's carrier sees none of them, nor its switch the laboratory's gateway."""
    house = House(stack, "umbrella")
    test = Api(stack.api, stack.test_key(house.account))
    endings = ("0101", "0105", "0106", "0109", "0120")
    body = {"from": "+442079460000", "agent_id": house.agent, "max_attempts": 1}
    placed = {ending: test.post("/v1/calls", {**body, "to": f"+1206555{ending}"}) for ending in endings}
    assert {answer.status for answer in placed.values()} == {202}, placed
    calls = {ending: str(answer.body["id"]) for ending, answer in placed.items()}
    live = house.insist({**body, "to": "+12065550109"}, "live")  # the same number, by a live key
    house.wait(calls["0120"], "in_progress")
    assert test.post(f"/v1/calls/{calls['0120']}/actions/hangup", {}).status == 202
    for ending, call in calls.items():
        ended = house.wait(call, *ENDED)
        fate = FATES[ending]
        assert (ended["status"], ended["end_reason"], ended["sip_code"]) == (fate.status, fate.end_reason, fate.sip_code)
        assert ended["test"] is True
    assert house.wait(live, "completed")["test"] is False
    assert test.get(f"/v1/calls/{live}").status == 404

    def invited(carrier: str) -> set[str]:
        return {fact["call_id"] for fact in read_log(stack.arrivals(carrier)) if fact["k"] == "invite"}

    ours = {dial["id"] for call in calls.values() for dial in house.see(call)["attempts"]}
    (live_dial,) = house.see(live)["attempts"]
    assert invited("test") == ours
    assert live_dial["id"] in invited("one")
    assert not invited("one") & ours
    # Each asked for permits of its own carriers alone: no claim had to be refused for that.
    logs = [(stack.supervisor.logs / f"{name}.log").read_text() for name in ("controller", "controller-lab1")]
    assert all('"result": "sent"' in log and "refused: lab" not in log for log in logs)
    assert stack.laboratory is not None
    rendered = {
        place: {path.stem for path in pathlib.Path(place.gateways).glob("*.xml")}
        for place in (stack.laboratory, *stack.places)
    }
    (elsewhere,) = stack.places
    assert len(rendered[stack.laboratory]) == len(rendered[elsewhere]) == 1
    assert rendered[stack.laboratory] != rendered[elsewhere]


def test_a_gateway_that_the_switch_does_not_have_and_one_that_leads_elsewhere(stack: Stack) -> None:
    [limits] = [one for one in carriers.list_limits(stack.db) if not one.lab]
    [endpoint] = carriers.list_endpoints(stack.db, lab=False)
    try:
        carriers.put_endpoint(stack.db, carrier_id=limits.id, gateway="forgotten", address="127.0.0.1:5099")
        carriers.put_endpoint(stack.db, carrier_id=limits.id, gateway=endpoint.gateway, address="127.0.0.1:5098")
        status, found = doctor(stack)
    finally:
        carriers.put_endpoint(stack.db, carrier_id=limits.id, gateway="forgotten", address="127.0.0.1:5099", enabled=False)
        carriers.put_endpoint(stack.db, carrier_id=limits.id, gateway=endpoint.gateway, address=endpoint.address)
    assert status == 1
    wrong = bad(found)
    assert any("gateway forgotten is not configured" in one for one in wrong)
    assert any(
        f"gateway {endpoint.gateway} leads to {endpoint.address}, the endpoint is 127.0.0.1:5098" in one for one in wrong
    )


def test_servers_that_do_not_answer_are_findings_and_the_rest_is_looked_at_all_the_same(stack: Stack) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        nobody = taken.getsockname()[1]
        status, found = doctor(
            stack,
            DATABASE_URL=f"postgresql://nobody@127.0.0.1:{nobody}/none",
            REDIS_URL=f"redis://127.0.0.1:{nobody}/0",
        )
        assert status == 1
        assert {one.split(":")[0] for one in bad(found)} >= {"Postgres", "Redis"}
        assert any(one["about"] == "switch fs1" and one["level"] == "ok" for one in found)
        status, found = doctor(stack, TRUNKLINE_ESL_PORT=str(nobody))
    assert status == 1
    assert any("no event socket" in one for one in bad(found))
    assert "refuses the password" in " ".join(bad(doctor(stack, TRUNKLINE_ESL_PASSWORD="not-the-password-at-all")[1]))
