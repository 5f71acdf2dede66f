"""What the description says is so: schemathesis asks the real server, links included, whatever the description holds.

Longer, and with another seed each time: ``make conform``.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from calls.ids import agent_ref
from lab.liberty import give_the_world
from store import agents, carriers, keys, operator_keys, tenants, trunks
from tests.web.conftest import FROM, TO, Api, World
from tests.web.operators import a_switch
from tests.web.served import Server
from tests.web.test_docs import _recorded

#: Random requests an operation, after those at and beyond each of its bounds; 0: the description's examples and chains of
#: links alone, which is what a run of all tests has time for.
EXAMPLES = int(os.environ.get("TRUNKLINE_CONFORM_EXAMPLES", "0"))
CHAINS = max(25, EXAMPLES)
SEED = os.environ.get("TRUNKLINE_CONFORM_SEED", "4711")
#: A regular expression: of the addresses that hold it alone; and which phases. For a long run in pieces.
PATHS = os.environ.get("TRUNKLINE_CONFORM_PATHS", "")
PHASES = os.environ.get("TRUNKLINE_CONFORM_PHASES", "") or ("examples,stateful" + (",coverage,fuzzing" if EXAMPLES else ""))
#: Keys and agents that chains may end; a page has 50.
SPARE = 60
#: s; a run that takes longer hangs.
LONGEST_S = 3600
_CONFIG = """
seed = {seed}
# Two at a time make Python 3.11's ast.parse fail inside of the tool, and are hardly quicker.
workers = 1
continue-on-failure = true
warnings = false
# How long something takes says something of the machine alone.
request-timeout = 120
suppress-health-check = ["too_slow"]

# Any text is a name, so a number in its place in the address is no fault; who is not there is 404 anyway.
[[operations]]
include-path-regex = "{{(?!\\\\w+_id}})"
checks = {{ negative_data_rejection = {{ enabled = false }} }}

[dictionaries]
tenant = {{ values = ["acme"] }}
carrier = {{ values = ["telco"] }}
callee = {{ values = {callees} }}
caller = {{ values = ["{caller}"] }}
agent = {{ values = ["{agent}"] }}

# Without these hardly a call would be one that can be placed.
[parameters]
"body.to" = {{ dictionary = "callee", probability = 0.9 }}
"body.from" = {{ dictionary = "caller", probability = 0.9 }}
"body.agent_id" = {{ dictionary = "agent", probability = 0.9 }}
"path.tenant" = {{ dictionary = "tenant", probability = 0.9 }}
"path.carrier" = {{ dictionary = "carrier", probability = 0.9 }}

[generation]
max-examples = {examples}
no-shrink = true

[phases.coverage]
unexpected-methods = ["PATCH", "TRACE"]

[phases.stateful]
max-steps = 8
generation = {{ max-examples = {chains}, mode = "positive" }}
inference = {{ algorithms = [] }}

[auth.openapi]
{auth}
"""
#: Not among them: allow_header_conformance (/actions/hangup takes GET as well, being the address of an action whose key is
#: "hangup"); use_after_free (what was deleted or revoked can still be read, and says so); positive_data_acceptance (a schema
#: cannot tell which number exists, or has a route).
_CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "negative_data_rejection",
    # That no route is open is tested elsewhere for each of them; here it doubles the requests.
    *(("ignored_auth",) if EXAMPLES else ()),
)


@pytest.mark.timeout(LONGEST_S)
def test_the_server_is_as_it_is_described(
    serve: Callable[..., Server], world: World, api: Api, order: Callable[..., Any], tmp_path: Path
) -> None:
    tenants.update(world.database, world.ours.name, requests_per_s=10_000)
    _calls_of_every_status(world, api, order)
    _something_of_everything(world, api, order)
    _what_examples_name(world)
    _spares(world)
    server = serve(TRUNKLINE_OPERATOR_REQUESTS_PER_S="10000", TRUNKLINE_TENANT_MAX_KEYS="1000")
    config = tmp_path / "schemathesis.toml"
    config.write_text(
        _CONFIG.format(
            seed=SEED,
            examples=max(1, EXAMPLES),
            chains=CHAINS,
            callees=json.dumps([TO, *(f"+4930123{number}" for number in range(500, 530))]),
            caller=FROM,
            agent=agent_ref(world.our_agent.id),
            auth="\n".join(f'{scheme} = {{ bearer = "{key}" }}' for scheme, key in _keys(world).items()),
        )
    )
    program = [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()"]
    described = f"http://127.0.0.1:{server.port}/v1/openapi.json"
    which = ["--phases", PHASES, "--checks", ",".join(_CHECKS), *(["--include-path-regex", PATHS] if PATHS else [])]
    done = subprocess.run(
        [*program, "--config-file", str(config), "run", described, *which],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
        check=False,
    )
    print(done.stdout)
    # A fault of ours is told without its reason; the reason is in the server's log.
    faults = [line for line in server.log.read_text().splitlines() if '"unhandled error"' in line]
    assert done.returncode == 0, "\n".join([done.stdout, done.stderr, *faults])
    _was_worth_it(server, world.our_key)


def _keys(world: World) -> dict[str, str]:
    """A key for each security scheme of the description."""
    return {"api_key": world.our_key, "operator_key": operator_keys.create(world.database, name="conform")[1]}


def _calls_of_every_status(world: World, api: Api, order: Callable[..., Any]) -> None:
    """So that a list is not empty, whatever is asked for."""
    for status in ("dialing", "ringing", "in_progress", "completed", "failed", "no_answer", "busy", "canceled", "queued"):
        placed = api.post("/v1/calls", order()).get_json()["id"]
        with world.database.connection() as conn:
            conn.execute("UPDATE calls SET status = %s WHERE id = %s", (status, placed.removeprefix("call_")))


def _something_of_everything(world: World, api: Api, order: Callable[..., Any]) -> None:
    """So that links that lead from a list have something to lead to."""
    _recorded(world, api.post("/v1/calls", order()).get_json()["id"])
    for number in range(3):
        hook = api.post("/v1/webhook_endpoints", {"url": f"https://example.com/{number}", "events": ["*"]}).get_json()["id"]
        assert api.post(f"/v1/webhook_endpoints/{hook}/test").status_code == 202
        assert api.post("/v1/batches", {"calls": [order()]}).status_code == 202
        wish = {"number": f"+493098765{number}", "source": "hotline"}
        assert api.post("/v1/suppressions", wish).status_code == 201
        operators = Api(api.app, operator_keys.create(world.database, name=f"before-{number}")[1])
        assert operators.post("/v1/operator/suppressions", wish).status_code == 201
        assert operators.post("/v1/operator/tenants/ours/suppressions", wish).status_code == 201
        price = {"prefix": f"3{number}", "per_minute": 0.5}
        assert operators.post("/v1/operator/prices/import", {"prices": [price]}).status_code == 200


def _what_examples_name(world: World) -> None:
    """What stands in the examples of operators' addresses."""
    acme = tenants.create(world.database, name="acme")
    give_the_world(world.database, acme.id)
    agents.create(world.database, tenant_id=acme.id, name="greeter", kind="announcement", audio="hello.wav")
    telco = carriers.put_carrier(world.database, name="telco", max_channels=10, cps=5)
    trunks.put_endpoint(
        world.database, carrier_id=telco.id, carrier="telco", name="e1", address="192.0.2.10:5060", enabled=True
    )
    a_switch(world)


def _spares(world: World) -> None:
    """A chain ends what it finds first in a list, the newest: not the key that all requests come with, nor the agent that
    calls name. Without these everything after that would be answered 401, and nothing be found wrong.
    """
    for number in range(SPARE):
        keys.create(world.database, tenant_id=world.ours.id, name=f"spare-{number}", scopes=["limits:read"])
        agents.create(world.database, tenant_id=world.ours.id, name=f"spare-{number}", kind="announcement", audio="a.wav")


def _was_worth_it(server: Server, key: str) -> None:
    """Refusals alone prove little. That each link leads somewhere is seen to by tests/web/test_links.py; here chance has a
    part, and only a long run does most of what there is to do.
    """
    _, _, spec = server.ask("GET", "/v1/openapi.json")
    lines = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]
    done = [(line["method"], line["path"]) for line in lines if 200 <= line.get("status", 0) < 300]
    succeeded = {name: _count(method, path, done) for name, method, path in _operations(spec)}
    print("answered with success:", succeeded)
    if EXAMPLES:
        alive = server.ask("GET", "/v1/keys", Authorization=f"Bearer {key}")[0]
        assert alive == 200, "a chain ended the key that all requests came with, so the rest was refused: take another seed"
    if PATHS:
        return
    assert succeeded["createAgent"]
    assert succeeded["listAgents"]
    if EXAMPLES:
        never = sorted(name for name, count in succeeded.items() if not count)
        assert len(never) <= len(succeeded) // 2, never


def _operations(spec: Any) -> list[tuple[str, str, str]]:
    return [
        (operation["operationId"], method.upper(), path)
        for path, item in spec["paths"].items()
        for method, operation in item.items()
        if method != "parameters"
    ]


def _count(method: str, path: str, done: list[tuple[str, str]]) -> int:
    pattern = re.compile(re.sub(r"{\w+}", "[^/]+", path))
    return sum(1 for asked, where in done if asked == method and pattern.fullmatch(where) is not None)
