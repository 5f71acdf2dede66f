"""The relay proves to an agent's server who calls; the server lets in nobody else, and each token once."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from agents.reference.__main__ import listening
from agents.reference.sound import tone
from calls.agent_token import sign, verify
from calls.ids import agent_ref, call_ref
from tests.relay.house import ScriptedAgent, house, run, until
from tests.relay.test_failures import failed
from tests.web.served import ROOT

SECRET, OTHER = "agsec_" + "0f" * 32, "agsec_" + "e1" * 32


async def knock(port: int, attempt: UUID, token: str | None) -> int:
    """What the server answers to somebody who comes with this token."""
    headers = {"X-Trunkline-Attempt": str(attempt)} | ({} if token is None else {"Authorization": f"Bearer {token}"})
    offered = [Subprotocol("trunkline.agent.v1")]
    try:
        async with connect(f"ws://127.0.0.1:{port}/", proxy=None, additional_headers=headers, subprotocols=offered):
            return 101
    except InvalidStatus as error:
        return error.response.status_code


def test_each_connection_brings_a_token_of_its_own(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h, ScriptedAgent().listening() as agent:
            attempt = await h.dial("0121", agent.url, agent={"agent_secret": SECRET})
            first = await agent.call()
            row = h.book.calls[attempt]
            claims = verify(first.headers["Authorization"].removeprefix("Bearer "), SECRET, now=time.time())
            assert (claims.agent, claims.call, claims.attempt) == (
                agent_ref(row.agent_id),
                call_ref(row.call_id),
                str(attempt),
            )
            h.phones[attempt].hangup("NORMAL_CLEARING")
            await h.gone(attempt)
            again = await h.dial("0121", agent.url)
            assert "Authorization" not in (await agent.call()).headers, "its owner asked for no secret"
            h.phones[again].hangup("NORMAL_CLEARING")
            await h.gone(again)

    run(scenario())


def test_a_server_that_verifies_serves_the_relay_and_no_stranger(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h, listening("127.0.0.1", 0, secrets=[SECRET]) as port:
            attempt = await h.dial(
                "0122",
                f"ws://127.0.0.1:{port}/",
                variables={"tone_hz": 1000, "tone_ms": 300},
                agent={"agent_secret": SECRET},
            )
            await until(lambda: tone(1000, 300) in h.heard(attempt), "it is let in")

            def token(secret: str = SECRET, of: UUID = attempt, now: float | None = None, token_id: str = "t") -> str:
                return sign(
                    secret, agent="agent_1", call="call_1", attempt=str(of), now=now or time.time(), token_id=token_id
                )

            assert await knock(port, attempt, None) == 401
            assert await knock(port, attempt, token(OTHER)) == 401
            assert await knock(port, attempt, token(of=UUID(int=1))) == 401
            assert await knock(port, attempt, token(now=time.time() - 3600)) == 401
            assert await knock(port, attempt, token()) == 101
            assert await knock(port, attempt, token()) == 401, "it was used"
            h.phones[attempt].hangup("NORMAL_CLEARING")
            await h.gone(attempt)

    run(scenario())


@pytest.mark.parametrize("secret", [None, OTHER])
def test_a_relay_without_the_right_secret_is_refused_and_the_call_says_so(tmp_path: Path, secret: str | None) -> None:
    async def scenario() -> None:
        async with house(tmp_path) as h, listening("127.0.0.1", 0, secrets=[SECRET]) as port:
            attempt = await h.dial("0122", f"ws://127.0.0.1:{port}/", agent={"agent_secret": secret})
            await failed(h, attempt, "agent_refused")

    run(scenario())


_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_ATTEMPT = "019ab0c2-7d1e-7c3a-9f00-2b6f4c1d8e55"


def documented(language: str) -> str:
    """The page's code in that language."""
    (code,) = (code for name, code in _BLOCK.findall((ROOT / "docs" / "agent-token.md").read_text()) if name == language)
    return str(code)


def brought() -> list[tuple[dict[str, str], bool]]:
    """Headers, in order, and whether they are to be let in."""

    def token(secret: str = SECRET, now: float | None = None, token_id: str = "a") -> str:
        return "Bearer " + sign(
            secret, agent="agent_1", call="call_1", attempt=_ATTEMPT, now=now or time.time(), token_id=token_id
        )

    right, header = token(), {"X-Trunkline-Attempt": _ATTEMPT}
    return [
        (header | {"Authorization": token(OTHER)}, False),
        (header | {"Authorization": token(now=time.time() - 600)}, False),
        (header | {"Authorization": right[:-1]}, False),
        ({"X-Trunkline-Attempt": "another", "Authorization": right}, False),
        (header | {"Authorization": right}, True),
        (header | {"Authorization": right}, False),
        (header | {"Authorization": token(token_id="b")}, True),
    ]


def test_the_documented_python_lets_in_what_it_should() -> None:
    page: dict[str, Any] = {}
    exec(compile(documented("python"), "agent-token.md", "exec"), page)
    for headers, welcome in brought():
        if welcome:
            assert page["verified"](headers, [OTHER[:-1] + "0", SECRET])["sub"] == "call_1"
        else:
            with pytest.raises(ValueError):
                page["verified"](headers, [SECRET])


def test_the_documented_node_lets_in_what_it_should(tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node on this machine")
    given = [({name.lower(): value for name, value in headers.items()}, welcome) for headers, welcome in brought()]
    (tmp_path / "page.mjs").write_text(
        documented("js")
        + f"\nfor (const [headers, welcome] of {json.dumps(given)}) {{ let let_in = true;"
        + f" try {{ verified(headers, [{SECRET!r}]); }} catch {{ let_in = false; }}"
        + " console.log(let_in === welcome); }\n"
    )
    done = subprocess.run([node, tmp_path / "page.mjs"], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["true"] * len(given)
