"""The check-up of a whole house: what it says of one that is well, and of the same with something broken."""

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

from store import carriers
from trunkline.stack import LabCarrier, Route, Stack

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    carrier = LabCarrier("one", channels=10, cps=5)
    with Stack(ROOT, [carrier], [Route("all", ("",), ("one",))]) as running:
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
    # The simulated switch says the version that was recorded, which is one with known holes.
    assert doctor(stack, "--strict")[0] == 1


def test_a_gateway_that_the_switch_does_not_have_and_one_that_leads_elsewhere(stack: Stack) -> None:
    [limits] = carriers.list_limits(stack.db)
    [endpoint] = carriers.list_endpoints(stack.db)
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
