"""Addresses that lead into our own network, in every disguise: nobody connects there; what can be seen is refused at once.

Judged by the connects that the process really makes (CPython tells an audit hook of each before it is made, and the hook
lets none through but those to this test's own sockets), not by what the guards say. Names are answered by a table instead
of a name server; everything else is the real thing: the dispatcher's Poster, the relay's way to an agent, the API.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID

import pytest
from marshmallow import ValidationError

from calls.addresses import is_public
from controller.relay.agent import AgentFailed, reach
from jobs.webhook_post import Poster
from settings import Settings
from tests.web.conftest import Api, named
from web.api.urls import WEBHOOK_SCHEMES, check_url

Order = Callable[..., dict[str, Any]]
ATTEMPT = UUID("f3280cf2-59b3-4d51-b8d1-b6d6f408f532")
#: An address of the Internet; the hook lets no connect to it through.
PUBLIC = "93.184.216.34"

#: Hosts that are addresses, or what some library takes for one. The API refuses each of them.
HOSTS = [
    # loopback, this host, private, shared, link-local with the clouds' metadata, benchmarks, multicast, reserved
    "127.0.0.1", "127.8.9.10", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "100.100.100.200",
    "169.254.169.254", "169.254.170.2", "168.63.129.16", "192.0.0.192", "198.18.0.1", "224.0.0.1", "255.255.255.255",
    # the same as decimal, octal, hexadecimal or short numbers, with a dot at the end
    "2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "017700000001", "127.1", "127.0.1", "0", "127.0.0.1.",
    "2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "3232235777", "0x0a000001",
    # IPv6: loopback, nobody's, local, with a zone, unique local, multicast, documentation
    "[::1]", "[::]", "[fe80::1]", "[fe80::1%25lo]", "[fe80::1%lo]", "[fec0::1]", "[fc00::1]", "[fd00:ec2::254]", "[ff02::1]",
    "[2001:db8::1]",
    # IPv4 inside of IPv6: mapped, compatible, translated, NAT64, 6to4, Teredo
    "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:a9fe:a9fe]", "[::127.0.0.1]", "[::ffff:0:127.0.0.1]",
    "[64:ff9b::127.0.0.1]", "[64:ff9b::a9fe:a9fe]", "[64:ff9b:1::10.0.0.1]", "[2002:7f00:1::]", "[2002:a9fe:a9fe::1]",
    "[2001:0:4136:e378:8000:63bf:3fff:fdd2]",
    # names of this host; characters that IDNA makes others of
    "localhost", "LOCALHOST", "localhost.", "a.localhost", "１２７.０.０.１", "127。0。0。1", "ⓛocalhost", "①②⑦.⓪.⓪.①",
]  # fmt: skip
#: Whole rests of an address that say one host and mean another, or want another port; {} stands for the scheme.
RESTS = [
    "{}://user:secret@127.0.0.1/", "{}://93.184.216.34@127.0.0.1/", "{}://127.0.0.1@93.184.216.34/",
    "{}://93.184.216.34:443@127.0.0.1/", "{}://127.0.0.1:443#@public.example/", "{}://public.example\\@127.0.0.1/",
    "{}://127.0.0.1\\.public.example/", "{}://127.0.0.1%00.public.example/", "{}://127.0.0.1%2f.public.example/",
    "{}://127.0.0.1\t.public.example/", "{}://public.example:0/", "{}://public.example:99999/", "{}:///127.0.0.1/", "{}://",
    "{}:127.0.0.1", "//127.0.0.1/", "http://127.0.0.1/", "ws://127.0.0.1/", "gopher://127.0.0.1/", "file:///etc/passwd",
    "ftp://127.0.0.1/", "unix:///var/run/docker.sock",
]  # fmt: skip
#: Other doors of a public host: a receiver of webhooks has none of them.
DOORS = ["{}://public.example:22/", "{}://public.example:5432/", "{}://public.example:6379/", "{}://public.example:8021/"]
#: Names, by the answers to one question after the other; the last one is given for ever.
NAMES: dict[str, list[list[str]]] = {
    "inner.example": [["10.0.0.1"]],
    "loop.example": [["127.0.0.1"]],
    "metadata.example": [["169.254.169.254"]],
    "cgnat.example": [["100.64.0.1"]],
    "several.example": [[PUBLIC, "10.0.0.1"]],
    "last.example": [["8.8.8.8", "1.1.1.1", PUBLIC, "127.0.0.1"]],
    "six.example": [[PUBLIC, "::1"]],
    "mapped.example": [["::ffff:127.0.0.1"]],
    "nat64.example": [["64:ff9b::a00:1"]],
    "sixtofour.example": [["2002:7f00:1::"]],
    "teredo.example": [["2001:0:4136:e378:8000:63bf:3fff:fdd2"]],
    "zone.example": [["fe80::1%lo"]],
    "rebind.example": [[PUBLIC], ["127.0.0.1"]],
    "rebind-metadata.example": [[PUBLIC], ["169.254.169.254"]],
    "xn--lcalhost-n4a.example": [["127.0.0.1"]],
    "a..b.example": [["127.0.0.1"]],
    "public.example": [[PUBLIC]],
}
#: Of these the first answer is a good one, and that address is connected to, whatever is answered later.
GOOD_AT_FIRST = {"rebind.example", "rebind-metadata.example", "public.example"}


def urls(scheme: str) -> list[str]:
    return [
        *(f"{scheme}://{host}/hook" for host in HOSTS),
        *(rest.format(scheme) for rest in RESTS),
        *(f"{scheme}://{name}/hook" for name in NAMES if name != "public.example"),
    ]


@dataclass
class Connects:
    """What the process connected to while it was watched. ``ours``: sockets of the test's own, which it may reach."""

    ours: set[tuple[str, int]] = field(default_factory=set)
    seen: list[tuple[str, int]] = field(default_factory=list)
    armed: bool = False

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        if self.armed and event == "socket.connect" and isinstance(args[1], tuple):
            where = (str(args[1][0]), int(args[1][1]))
            self.seen.append(where)
            if where not in self.ours:
                raise ConnectionRefusedError("no connect leaves this test")

    @property
    def private(self) -> list[tuple[str, int]]:
        return [where for where in self.seen if where not in self.ours and not is_public(where[0])]


CONNECTS = Connects()
sys.addaudithook(CONNECTS)  # for the life of the process; asleep but in these tests


@pytest.fixture
def connects(monkeypatch: pytest.MonkeyPatch) -> Iterator[Connects]:
    asked: Counter[str] = Counter()
    system = socket.getaddrinfo

    def answer(host: Any, port: Any, *args: Any, **more: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name not in NAMES:
            _is_address(name)
            return system(host, port, *args, **more)
        answers = NAMES[name]
        found = answers[min(asked[name], len(answers) - 1)]
        asked[name] += 1
        family = {4: socket.AF_INET, 6: socket.AF_INET6}
        parsed = [(address, ipaddress.ip_address(address.partition("%")[0]).version) for address in found]
        return [(family[version], socket.SOCK_STREAM, 6, "", (address, port)) for address, version in parsed]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    monkeypatch.setattr("jobs.webhook_address._getaddrinfo", answer)  # which is the one of before gevent
    CONNECTS.seen.clear()
    CONNECTS.ours.clear()
    CONNECTS.armed = True
    yield CONNECTS
    CONNECTS.armed = False


def _is_address(name: str) -> None:
    """Only what the system reads as a number, or has in its own file, is asked of it: no name server is."""
    if name and name.rstrip(".").rpartition(".")[2].lower() in ("example", "com", "org", "net"):
        raise socket.gaierror(socket.EAI_NONAME, "no such name")


@cache
def poster(allow_private: bool, timeout_s: float) -> Poster:
    """One for all: it reads the machine's certificates, which takes its time."""
    return Poster(timeout_s=timeout_s, per_url=1, allow_private=allow_private)


def post(url: str, *, allow_private: bool = False, connect_s: float = 3.0) -> str:
    ours = poster(allow_private, connect_s)
    answer = ours.post(url, {"content-type": "application/json"}, b"{}")
    ours.close()  # what it keeps open, so that the next one connects
    return answer.error or str(answer.code)


def talk(url: str, *, allow_private: bool = False, connect_s: float = 0.3) -> str:
    settings = Settings.model_validate({"agent_allow_private": allow_private})
    try:
        asyncio.run(reach(url, attempt=ATTEMPT, headers=dict, subprotocols=(), timeout_s=connect_s, settings=settings))
    except AgentFailed as failed:
        return failed.reason
    raise AssertionError(f"{url}: somebody answered")


def test_there_are_enough_of_them() -> None:
    assert len(urls("https")) == len(set(urls("https"))) >= 90


@pytest.mark.parametrize(("scheme", "way"), [("https", post), ("wss", talk)])
def test_no_hostile_address_is_connected_to(connects: Connects, scheme: str, way: Callable[[str], str]) -> None:
    for url in urls(scheme):
        connects.seen.clear()
        way(url)
        assert connects.private == [], url
        name = url.removeprefix(f"{scheme}://").partition("/")[0]
        if name in GOOD_AT_FIRST:
            assert {where[0] for where in connects.seen} == {PUBLIC}, url
        elif url.startswith(scheme) and not url.endswith("public.example/") and "@93.184" not in url:
            assert connects.seen == [], url


@pytest.mark.parametrize(("scheme", "way"), [("https", post), ("wss", talk)])
def test_a_public_name_is_connected_to(connects: Connects, scheme: str, way: Callable[[str], str]) -> None:
    """Else nothing is, and the test before this one could not fail."""
    way(f"{scheme}://public.example/hook")
    assert connects.seen[0] == (PUBLIC, 443)


def test_the_recorder_sees_what_a_guard_that_is_off_does(connects: Connects) -> None:
    for url, where in {
        "https://2130706433/": "127.0.0.1",
        "https://[::ffff:127.0.0.1]/": "::ffff:127.0.0.1",
        "https://inner.example/": "10.0.0.1",
    }.items():
        for way, scheme in ((post, "https"), (talk, "wss")):
            connects.seen.clear()
            way(url.replace("https", scheme), allow_private=True)  # type: ignore[operator]
            assert [address for address, _ in connects.private][:1] == [where], (way, url)


@pytest.mark.parametrize("url", DOORS)
def test_webhooks_go_to_the_doors_of_receivers_alone(connects: Connects, url: str) -> None:
    assert post(url.format("https")).startswith("refused")
    assert connects.seen == []


class _Elsewhere(BaseHTTPRequestHandler):
    """Whatever is asked: it is to be found at ``server.elsewhere``."""

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        self.send_response(302)
        self.send_header("Location", self.server.elsewhere)  # type: ignore[attr-defined]
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST = answer

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(("scheme", "way"), [("http", post), ("ws", talk)])
@pytest.mark.parametrize("inner", ["{}://127.0.0.1:{}/", "{}://metadata.example:{}/", "//127.0.0.1:{1}/", "{}://[::1]:{}/"])
def test_a_redirect_leads_nowhere(connects: Connects, scheme: str, way: Callable[..., str], inner: str) -> None:
    """In a laboratory, where the first address may be a private one: then a second would be connected to as well."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Elsewhere) as server, socket.create_server(("127.0.0.1", 0)) as trap:
        server.elsewhere = inner.format(scheme, trap.getsockname()[1])  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        here = ("127.0.0.1", server.server_port)
        connects.ours.add(here)
        answer = way(f"{scheme}://127.0.0.1:{server.server_port}/", allow_private=True, connect_s=30.0)
        assert answer in ("answered 302", "agent_refused")
        server.shutdown()
        assert connects.seen == [here]
        trap.settimeout(0)
        with pytest.raises(BlockingIOError):
            trap.accept()


def test_the_api_refuses_what_can_be_seen_to_be_hostile(api: Api, order: Order) -> None:
    """All by the field's own check, each twelfth of them by HTTP as well."""
    hooks = [url for url in urls("https") if "example/hook" not in url] + [door.format("https") for door in DOORS]
    agents = [url for url in urls("wss") if "example/hook" not in url]
    for schemes, found in ((WEBHOOK_SCHEMES, hooks), (("wss", "ws"), agents)):
        check_url(f"{schemes[0]}://public.example/hook", schemes, private=False)
        for url in found:
            with pytest.raises(ValidationError):
                check_url(url, schemes, private=False)
    before = api.get("/v1/calls").get_json()
    for url in hooks[::12]:
        answer = api.place(**order(webhook_url=url))
        assert (answer.status_code, list(named(answer))) == (422, ["/webhook_url"]), (url, answer.get_json())
    for url in agents[::12]:
        answer = api.post("/v1/agents", {"name": "hostile", "kind": "websocket", "url": url})
        assert (answer.status_code, list(named(answer))) == (422, ["/url"]), (url, answer.get_json())
    assert api.get("/v1/calls").get_json() == before
