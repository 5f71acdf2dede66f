"""The code in the how-tos runs: each page's Python from top to bottom against the real server, its Node under node."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from calls.ids import agent_ref
from calls.webhook_sign import signed_headers
from store import carriers, tenants
from tests.web.conftest import World
from tests.web.served import ROOT, Server

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = ("tutorial", "howto-retries", "howto-bursts", "howto-test", "howto-webhooks")


def blocks(page: str, language: str) -> list[str]:
    """The page's code in that language, in order."""
    text = (ROOT / "docs" / f"{page}.md").read_text()
    return [code for name, code in _BLOCK.findall(text) if name == language]


@pytest.fixture(scope="module")
def environment(
    postgres_url: str, redis_database: tuple[str, bool], world: World, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """A server as the demo would be: a route to the numbers of the lab, and somebody who ends every call."""
    tenants.update(world.database, world.ours.name, requests_per_s=10_000)
    (carrier,) = carriers.list_limits(world.database)
    carriers.put_route(world.database, name="america", prefixes=["1"], carriers=[carrier.id])
    server = Server(
        # As in the demo, agents may be on this machine.
        {"DATABASE_URL": postgres_url, "REDIS_URL": redis_database[0], "TRUNKLINE_AGENT_ALLOW_PRIVATE": "true"},
        tmp_path_factory.mktemp("web") / "web.log",
    )
    server.await_alive()
    over = threading.Event()

    def end_calls() -> None:
        while not over.wait(0.05):
            with world.database.connection() as conn:
                conn.execute("UPDATE calls SET status = 'completed', end_reason = 'hangup' WHERE status = 'queued'")

    ending = threading.Thread(target=end_calls)
    ending.start()
    yield {
        "TL_URL": f"http://127.0.0.1:{server.port}",
        "TL_KEY": world.our_key,
        "TL_AGENT": agent_ref(world.our_agent.id),
    }
    over.set()
    ending.join()
    server.close()


@pytest.mark.parametrize("page", PAGES)
def test_the_python_of_a_page_runs(page: str, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    code = blocks(page, "python")
    assert code
    # One after the other in one namespace, as somebody would paste them.
    shared: dict[str, object] = {"__name__": page}
    for number, block in enumerate(code):
        exec(compile(block, f"docs/{page}.md, block {number + 1}", "exec"), shared)


def test_every_page_with_python_is_run() -> None:
    pages = {path.stem for path in (ROOT / "docs").glob("howto-*.md") if blocks(path.stem, "python")}
    assert pages | {"tutorial"} == set(PAGES)


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed here")
def test_the_node_receiver_takes_what_is_signed_and_nothing_else(tmp_path: Path) -> None:
    (code,) = blocks("howto-webhooks", "js")
    raw, body = b"k" * 32, json.dumps({"type": "call.completed", "data": {"id": "call_1"}}).encode()
    now = int(time.time())
    good = signed_headers([b"o" * 32, raw], "evt_1", now, body)
    cases = {
        "good": good,
        "old": signed_headers([raw], "evt_1", now - 301, body),
        "other": signed_headers([b"o" * 32], "evt_1", now, body),
        "changed": {**good, "webhook-id": "evt_2"},
        "none": {},
        "short": {**good, "webhook-signature": "v1,AAAA"},
    }
    (tmp_path / "receiver.mjs").write_text(code)
    (tmp_path / "judge.mjs").write_text(
        'import { verify } from "./receiver.mjs";\n'
        f"const body = Buffer.from({json.dumps(body.decode())}), cases = {json.dumps(cases)};\n"
        f"const secrets = ['whsec_{base64.b64encode(raw).decode()}'];\n"
        "console.log(JSON.stringify(Object.fromEntries(Object.entries(cases).map(([name, headers]) =>"
        " [name, verify(body, headers, secrets)]))));\n"
    )
    done = subprocess.run(["node", "judge.mjs"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {name: name == "good" for name in cases}


def test_links_between_pages_lead_somewhere() -> None:
    pages = [*(ROOT / "docs").glob("*.md"), ROOT / "README.md"]
    for page in pages:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"
