"""``trunkline listen`` against the API over HTTP: what it forwards and leaves to others, and what when nobody answers."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from click.testing import CliRunner
from standardwebhooks import Webhook
from werkzeug.serving import make_server

from store import outbox
from tests.web.conftest import Api, World
from tests.web.receiver import Receiver
from tests.web.test_dispatcher import lab, wait_for
from trunkline.cli import main
from trunkline.listen import TOLD_S, Listener, ListenRefused, Place

__all__ = ["lab"]


@pytest.fixture
def base(lab: Api) -> Iterator[str]:
    """The API on a port."""
    server = make_server("127.0.0.1", 0, lab.app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@contextmanager
def listening(place: Place, told_s: float = TOLD_S) -> Iterator[list[str]]:
    """What it says."""
    said: list[str] = []
    end = threading.Event()
    listener = Listener(place, said.append, lambda: not end.is_set(), wait_s=1, told_s=told_s)
    thread = threading.Thread(target=listener.run)
    thread.start()
    try:
        wait_for(lambda: any("secret" in line for line in said))
        yield said
    finally:
        end.set()
        thread.join(20)
        assert not thread.is_alive()


def expand(world: World) -> list[outbox.Delivery]:
    return outbox.expand(world.database, datetime.now(UTC), 1000, 100, 30)[1]


def test_it_forwards_signed_and_swallows_nothing(base: str, lab: Api, world: World, order: Callable[..., Any]) -> None:
    endpoint = lab.post("/v1/webhook_endpoints", {"url": "https://hooks.example.com/"}).get_json()["id"]
    with Receiver() as local, listening(Place(base, world.our_key, local.url, ["call.queued"])) as said:
        call = lab.post("/v1/calls", order()).get_json()["id"]
        lab.post(f"/v1/calls/{call}/actions/hangup")
        told = expand(world)
        assert [one.type for one in told] == ["call.canceled", "call.queued"]
        assert local.wait_for(lambda: len(local.requests) == 1)
        secret = next(line for line in said if "secret" in line).rpartition(" ")[2]
        (got,) = local.requests
        body = Webhook(secret).verify(got.body, dict(got.headers))
        assert (body["type"], body["data"]["id"]) == ("call.queued", call)
        wait_for(lambda: any(call in line and "-> 200" in line for line in said))

        def ended() -> bool:
            found = lab.get(f"/v1/webhook_deliveries?call_id={call}").get_json()["data"]
            return [(row["status"], row["code"]) for row in found if row["endpoint_id"] != endpoint] == [("delivered", 200)]

        wait_for(ended)
    # It says when it goes: nothing is kept for it any more.
    lab.send("DELETE", f"/v1/webhook_endpoints/{endpoint}")
    quiet = lab.post("/v1/calls", order()).get_json()["id"]
    assert lab.get(f"/v1/calls/{quiet}").get_json()["sequence"] == 0


def test_a_local_server_that_is_not_there_is_told_and_logged(
    base: str, lab: Api, world: World, order: Callable[..., Any]
) -> None:
    with listening(Place(base, world.our_key, "http://127.0.0.1:9/x")) as said:
        call = lab.post("/v1/calls", order()).get_json()["id"]
        expand(world)
        wait_for(lambda: any(call in line and "-> " in line for line in said))
        wait_for(lambda: lab.get(f"/v1/webhook_deliveries?call_id={call}").get_json()["data"][0]["status"] == "failed")


def test_a_slow_local_server_makes_no_silence(base: str, lab: Api, world: World, order: Callable[..., Any]) -> None:
    """What came of the first event is told while the second is still under way."""
    go_on, got = threading.Event(), []

    def local(environ: Any, start: Any) -> list[bytes]:
        got.append(environ["HTTP_WEBHOOK_ID"])
        if len(got) > 1:
            go_on.wait(8)
        start("204 No Content", [])
        return []

    server = make_server("127.0.0.1", 0, local)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        place = Place(base, world.our_key, f"http://127.0.0.1:{server.server_port}/", ["call.queued", "call.canceled"])
        with listening(place, told_s=0.0):
            call = lab.post("/v1/calls", order()).get_json()["id"]
            lab.post(f"/v1/calls/{call}/actions/hangup")
            expand(world)

            def states() -> list[str]:
                return sorted(row["status"] for row in lab.get(f"/v1/webhook_deliveries?call_id={call}").get_json()["data"])

            wait_for(lambda: len(got) == 2)
            assert states() == ["delivered", "listening"]
            go_on.set()
            wait_for(lambda: states() == ["delivered", "delivered"])
            assert len(set(got)) == len(got) == 2
    finally:
        go_on.set()
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_key_that_is_none_ends_it_with_a_word(base: str) -> None:
    with pytest.raises(ListenRefused, match="not valid"):
        Listener(Place(base, "tl_nothing_nothing", "http://127.0.0.1:9/"), lambda _: None).run()


def test_an_api_that_is_away_is_waited_for() -> None:
    said: list[str] = []
    Listener(Place("http://127.0.0.1:9", "k", "http://127.0.0.1:9/"), said.append, lambda: len(said) < 2).run()
    assert len(said) == 2
    assert all(line.startswith("the API is away") for line in said)


def test_an_address_that_is_none_is_refused_at_once() -> None:
    for option, line in {
        "--forward": ["--forward", "localhost:3000/hooks"],
        "--api": ["--forward", "http://localhost:3000", "--api", "api.example.com"],
    }.items():
        done = CliRunner().invoke(main, ["listen", "--key", "tl_x", *line])
        assert done.exit_code == 2
        assert f"Invalid value for {option}" in done.stderr
        assert "does not begin with http:// or https://" in done.stderr


def test_a_local_server_that_is_not_there_is_told_in_words(
    base: str, lab: Api, world: World, order: Callable[..., Any]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody else has it meanwhile
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}/"
        with listening(Place(base, world.our_key, nobody, ["call.queued"])) as said:
            lab.post("/v1/calls", order())
            expand(world)
            wait_for(lambda: any(line.startswith("call.queued") for line in said))
    (line,) = [line for line in said if line.startswith("call.queued")]
    assert line.endswith("-> no connection: does it run, and there?")
