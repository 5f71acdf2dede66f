"""Whose certificates the relay believes, and that it reads them once."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import pytest
import trustme
from websockets.asyncio.server import ServerConnection, serve

from controller.relay.agent import AgentFailed, reach
from controller.relay.trust import agent_tls
from settings import Settings
from tests.relay.house import run

AUTHORITY = trustme.CA()


@asynccontextmanager
async def agent() -> AsyncIterator[str]:
    """One behind TLS, whose certificate AUTHORITY signed."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    AUTHORITY.issue_cert("127.0.0.1").configure_cert(context)

    async def idle(socket: ServerConnection) -> None:
        await socket.wait_closed()

    async with serve(idle, "127.0.0.1", 0, ssl=context) as server:
        yield f"wss://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/"


async def talk_to(url: str, settings: Settings) -> None:
    limit_s = settings.agent_connect_timeout_s
    socket = await reach(url, attempt=UUID(int=1), headers=dict, subprotocols=(), timeout_s=limit_s, settings=settings)
    await socket.close()


def test_an_agent_with_a_certificate_of_ones_own_authority_is_believed_once_that_is_named(tmp_path: Path) -> None:
    file = tmp_path / "own.pem"
    AUTHORITY.cert_pem.write_to_path(str(file))

    async def scenario() -> None:
        async with agent() as url:
            plain = Settings.model_validate({"agent_allow_private": True, "agent_connect_timeout_s": 1.0})
            with pytest.raises(AgentFailed):
                await talk_to(url, plain)
            patient = plain.model_copy(update={"agent_ca_file": str(file), "agent_connect_timeout_s": 10.0})
            await talk_to(url, patient)

    run(scenario())


def test_the_certificates_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with agent() as url:
            settings = Settings.model_validate({"agent_allow_private": True, "agent_connect_timeout_s": 0.6})
            agent_tls(settings)
            read: list[object] = []
            monkeypatch.setattr(ssl.SSLContext, "load_default_certs", lambda *given: read.append(given))
            for _ in range(2):
                with pytest.raises(AgentFailed):
                    await talk_to(url, settings)
            assert read == []

    run(scenario())


def test_a_file_that_holds_no_certificates_is_refused_by_its_setting(tmp_path: Path) -> None:
    (tmp_path / "none.pem").write_text("nothing")
    for name in ("none.pem", "not_there.pem"):
        settings = Settings.model_validate({"agent_ca_file": str(tmp_path / name)})
        with pytest.raises(ValueError, match=r"TRUNKLINE_AGENT_CA_FILE: .*give a file of certificates as PEM"):
            agent_tls(settings)
