"""What the description says of the API is so: schemathesis asks the real server, links included, whatever is described.

Longer and with other seeds: ``make conform`` (TRUNKLINE_CONFORM_EXAMPLES, TRUNKLINE_CONFORM_SEED).
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from calls.ids import agent_ref
from store import tenants
from tests.web.conftest import FROM, TO, World
from tests.web.served import Server

#: Test cases an operation; the coverage phase makes its own number.
EXAMPLES = int(os.environ.get("TRUNKLINE_CONFORM_EXAMPLES", "4"))
SEED = os.environ.get("TRUNKLINE_CONFORM_SEED", "4711")
_CONFIG = """
seed = {seed}
workers = 1
continue-on-failure = true
warnings = false

[dictionaries]
callee = {{ values = ["{to}"] }}
caller = {{ values = ["{caller}"] }}
agent = {{ values = ["{agent}"] }}

[parameters]
"body.to" = {{ dictionary = "callee", probability = 0.9 }}
"body.from" = {{ dictionary = "caller", probability = 0.9 }}
"body.agent_id" = {{ dictionary = "agent", probability = 0.9 }}

[generation]
max-examples = {examples}
no-shrink = true

[phases.stateful]
max-steps = 6

[auth.openapi]
api_key = {{ bearer = "{key}" }}
"""
_CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "allow_header_conformance",
    "ignored_auth",
    "use_after_free",
    "negative_data_rejection",
)


def test_the_server_is_as_it_is_described(serve: Callable[..., Server], world: World, tmp_path: Path) -> None:
    server = serve()
    tenants.update(world.database, world.ours.name, requests_per_s=10_000)
    config = tmp_path / "schemathesis.toml"
    config.write_text(
        _CONFIG.format(
            seed=SEED, examples=EXAMPLES, to=TO, caller=FROM, agent=agent_ref(world.our_agent.id), key=world.our_key
        )
    )
    program = [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()"]
    done = subprocess.run(
        [*program, "--config-file", str(config), "run", f"http://127.0.0.1:{server.port}/v1/openapi.json",
         "--checks", ",".join(_CHECKS)],
        cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
