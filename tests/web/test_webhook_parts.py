"""The parts of the dispatcher: signature, schedule, addresses, one POST, and who gets the next place."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import trustme

from calls.addresses import is_public
from calls.webhook_sign import signature, signed_headers
from controller.relay import guard
from jobs.webhook_address import AddressRefused, origin, resolve
from jobs.webhook_http import MAX_BODY_BYTES
from jobs.webhook_post import Poster
from jobs.webhook_receivers import Receivers
from jobs.webhook_schedule import SCHEDULE_S, SPREAD, TURN_S, next_wait, turn_wait
from store.outbox import Delivery
from tests.web.receiver import Receiver


def test_the_signature_is_the_standards() -> None:
    """The example that the Standard Webhooks libraries are tested with."""
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signed = signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    both = signed_headers([secret, b"x" * 32], "msg_1", 1, b"{}")["webhook-signature"].split(" ")
    assert len(both) == 2
    assert both[0] != both[1]


def test_the_schedule_grows_and_ends() -> None:
    waits = [next_wait(tries, 0.5) for tries in range(1, len(SCHEDULE_S) + 1)]
    assert [wait.total_seconds() for wait in waits[:-1] if wait] == list(SCHEDULE_S[1:])
    assert waits[-1] is None
    for tries in range(1, len(SCHEDULE_S)):
        low, high = next_wait(tries, 0.0), next_wait(tries, 0.999999)
        assert low is not None
        assert high is not None
        assert low.total_seconds() == pytest.approx(SCHEDULE_S[tries] * 0.8)
        assert high.total_seconds() == pytest.approx(SCHEDULE_S[tries] * 1.2, rel=1e-4)
    with pytest.raises(ValueError, match="tries"):
        next_wait(0, 0.5)


def test_a_turn_not_had_waits_as_long_again_as_it_has_waited() -> None:
    waits = [turn_wait(timedelta(seconds=waited), 0.5).total_seconds() for waited in (0, 4, 40, 299, 86_400)]
    assert waits == [TURN_S[0], TURN_S[0], 40, 299, TURN_S[1]]
    low, high = (turn_wait(timedelta(seconds=100), chance).total_seconds() for chance in (0.0, 0.999999))
    assert (low, round(high)) == (100 * (1 - SPREAD), 100 * (1 + SPREAD))


PUBLIC = ["8.8.8.8", "93.184.216.34", "2606:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"]
INNER = [
    "127.0.0.1", "127.8.9.1", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "100.100.100.200", "168.63.129.16", "192.0.0.8", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1",
    "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "192.88.99.1",
    "::", "::1", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1", "fec0::1", "2001:db8::1", "100::1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b:1::1",
    "2002:7f00:1::", "2002:0a00:0001::", "2001:0:4136:e378:8000:63bf:3fff:fdd2",
]  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_pass(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))
    target = resolve("https://hooks.example/x?y", allow_private=False, lookup=lambda *_: [address])
    assert ipaddress.ip_address(target.address) == ipaddress.ip_address(address)


@pytest.mark.parametrize("address", INNER)
def test_inner_addresses_are_refused_also_among_public_ones(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))
    for found in ([address], ["8.8.8.8", address]):
        with pytest.raises(AddressRefused, match="not public"):
            resolve("https://hooks.example/", allow_private=False, lookup=lambda *_, found=found: found)
    target = resolve("http://hooks.example/", allow_private=True, lookup=lambda *_: [address])
    assert ipaddress.ip_address(target.address) == ipaddress.ip_address(address)


@pytest.mark.parametrize("address", INNER)
def test_an_agent_is_refused_where_a_webhook_is(address: str) -> None:
    url = f"wss://[{address}]/" if ":" in address else f"wss://{address}/"
    with pytest.raises(guard.AddressRefused, match="not a public address"):
        asyncio.run(guard.judge(url, allow_private=False, timeout_s=5.0))


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example/", "ftp://hooks.example/", "https://u@hooks.example/", "https://u:p@hooks.example/",
        "https://hooks.example:22/", "https://hooks.example:6379/", "https:///x", "https://[::1", "hooks.example",
        "https://hooks.example:99999/",
    ],
)  # fmt: skip
def test_odd_urls_are_refused(url: str) -> None:
    with pytest.raises(AddressRefused):
        resolve(url, allow_private=False, lookup=lambda *_: ["8.8.8.8"])


def test_a_name_that_does_not_resolve_is_refused() -> None:
    def fail(*_: object) -> list[str]:
        raise OSError("no such name")

    for lookup in (fail, lambda *_: [], lambda *_: ["nonsense"]):
        with pytest.raises(AddressRefused, match="resolve"):
            resolve("https://hooks.example/", allow_private=False, lookup=lookup)


def test_the_scope_of_an_address_does_not_hide_it() -> None:
    with pytest.raises(AddressRefused, match="not public"):
        resolve("https://hooks.example/", allow_private=False, lookup=lambda *_: ["fe80::1%eth0"])


def poster(lookup: Any, timeout_s: float = 5.0) -> Poster:
    return Poster(timeout_s=timeout_s, per_url=2, allow_private=True, lookup=lookup)


def test_one_lookup_and_the_connection_goes_to_that_address(monkeypatch: Any, tmp_path: Path) -> None:
    """TLS is spoken to the name (SNI and certificate), TCP to the address that was checked."""
    authority = trustme.CA()
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("hooks.example.test").configure_cert(server_side)
    asked: list[str | None] = []
    server_side.sni_callback = lambda _socket, name, _context: asked.append(name)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    looked_up: list[str] = []

    def lookup(host: str, _port: int) -> list[str]:
        looked_up.append(host)
        return ["127.0.0.1"] if len(looked_up) <= 2 else ["127.0.0.99"]

    with Receiver(tls=server_side) as receiver:
        ours = poster(lookup)
        url = f"https://hooks.example.test:{receiver.port}/a/b?c=d"
        answer = ours.post(url, {"webhook-id": "1"}, b"{}")
        assert (answer.code, answer.error) == (200, None)
        (got,) = receiver.requests
        assert (got.path, got.headers["host"], asked) == (
            "/a/b?c=d",
            f"hooks.example.test:{receiver.port}",
            ["hooks.example.test"],
        )
        assert looked_up == ["hooks.example.test"]
        # A certificate of another name is no delivery.
        other = ours.post(url.replace("hooks.", "evil."), {}, b"{}")
        assert (other.delivered, other.code, len(receiver.requests)) == (False, None, 1)
        ours.close()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_a_failure_and_not_followed(status: int) -> None:
    with Receiver() as elsewhere, Receiver(status=status, headers={"Location": elsewhere.url}) as receiver:
        ours = poster(lambda *_: ["127.0.0.1"])
        answer = ours.post(receiver.url, {}, b"{}")
        assert (answer.delivered, answer.code) == (False, status)
        assert (len(receiver.requests), len(elsewhere.requests)) == (1, 0)
        ours.close()


@pytest.mark.parametrize(
    ("status", "delivered"), [(200, True), (204, True), (299, True), (400, False), (410, False), (500, False)]
)
def test_only_2xx_is_delivered(status: int, delivered: bool) -> None:
    with Receiver(status=status) as receiver:
        ours = poster(lambda *_: ["127.0.0.1"])
        answer = ours.post(receiver.url, {}, b"{}")
        assert (answer.code, answer.delivered) == (status, delivered)
        ours.close()


def test_a_long_answer_is_not_read() -> None:
    with Receiver(body=b"x" * 50_000_000) as receiver:
        ours = poster(lambda *_: ["127.0.0.1"])
        assert ours.post(receiver.url, {}, b"{}").delivered
        assert receiver.wait_for(lambda: receiver.cut_off == 1)
        assert receiver.sent < 50_000_000
        ours.close()


def test_a_short_answer_keeps_the_connection() -> None:
    with Receiver(body=b"x" * MAX_BODY_BYTES) as receiver:
        ours = poster(lambda *_: ["127.0.0.1"])
        for _ in range(3):
            assert ours.post(receiver.url, {}, b"{}").delivered
        assert (len(receiver.requests), receiver.connections) == (3, 1)
        ours.close()


def test_the_environments_proxy_is_ignored(monkeypatch: Any) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with Receiver() as receiver:
        ours = poster(lambda *_: ["127.0.0.1"])
        assert ours.post(receiver.url, {}, b"{}").delivered
        ours.close()


def test_nobody_there_is_an_answer_without_code() -> None:
    ours = poster(lambda *_: ["127.0.0.1"])
    answer = ours.post("http://hooks.example:1/", {}, b"{}")
    assert (answer.code, answer.delivered) == (None, False)
    assert answer.error
    ours.close()


def test_a_receiver_is_an_origin() -> None:
    assert origin("https://Hooks.example/a?b") == origin("https://hooks.example/c") == "https://hooks.example:"
    assert origin("https://hooks.example:8443/") != origin("https://hooks.example/")
    assert origin("https://[::1") == "https://[::1"


TENANT = uuid4()


def delivery(url: str, tenant: UUID = TENANT) -> Delivery:
    return Delivery(
        uuid4(), uuid4(), tenant, None, uuid4(), 1, "call.queued", 1, 1, 0, datetime.now(UTC), {}, url, b"s" * 32
    )


def test_places_are_shared_by_turn_and_capped_per_receiver() -> None:
    receivers = Receivers(total=8, per_url=4)  # two of them for ends alone
    for index in range(8):
        receivers.add(delivery(f"https://a.example/{index}"))
    for _ in range(3):
        receivers.add(delivery("https://b.example/"))
    started = [origin(one.url) for one in receivers.start(0.0)]
    assert sorted(started) == ["https://a.example:"] * 3 + ["https://b.example:"] * 3
    assert (receivers.running, receivers.room) == (6, 16 - 11)
    assert list(receivers.start(0.0)) == []


def test_the_cap_is_per_tenant() -> None:
    receivers = Receivers(total=10, per_url=1)
    receivers.add(delivery("https://a.example/"))
    receivers.add(delivery("https://a.example/"))
    receivers.add(delivery("https://a.example/", uuid4()))
    assert len(list(receivers.start(0.0))) == 2


def test_behind_a_slow_receiver_only_the_next_turn_waits() -> None:
    receivers = Receivers(total=8, per_url=2)
    waiting = [delivery("https://slow.example/") for _ in range(10)]
    for one in waiting:
        receivers.add(one)
    running = list(receivers.start(0.0))
    assert running == waiting[:2]
    assert list(receivers.excess(0.01)) == []
    # It is not slow, only no longer quick: what it takes by and by is handed back until then.
    soon = list(receivers.excess(0.5))
    assert {one.delivery.id for one in soon} == {one.id for one in waiting[6:]}
    assert {(one.rest_s, one.soon_s) for one in soon} == {(0, 8 / 2 * 0.5)}
    handed_back = list(receivers.excess(1.5))
    assert {one.delivery.id for one in handed_back} == {one.id for one in waiting[4:6]}
    assert {(one.rest_s, one.soon_s) for one in handed_back} == {(0, None)}
    assert receivers.room == 16 - 4
    receivers.finished(running[0], ok=False, now=2.0)
    assert list(receivers.start(2.0)) == [waiting[2]]


def test_a_fast_receiver_keeps_its_backlog() -> None:
    receivers = Receivers(total=8, per_url=2)
    for _ in range(10):
        receivers.add(delivery("https://fast.example/"))
    finished, now = 0, 0.0
    while batch := list(receivers.start(now)):
        assert list(receivers.excess(now)) == []
        now += 0.01
        for one in batch:
            receivers.finished(one, ok=True, now=now)
            finished += 1
    assert finished == 10
    assert (receivers.running, receivers.room) == (0, 16)


def test_no_receivers_backlog_takes_all_the_room() -> None:
    receivers = Receivers(total=32, per_url=4)
    for _ in range(64):
        receivers.add(delivery("https://half-a-second.example/"))
    now = 0.0
    for _ in range(3):
        for one in list(receivers.start(now)):
            receivers.finished(one, ok=True, now=now + 0.5)
        now += 0.5
        list(receivers.excess(now))
    list(receivers.start(now))
    list(receivers.excess(now))
    assert receivers.room >= 64 - 3 * 4
    # However quick one is, half of the room is left to others.
    receivers = Receivers(total=32, per_url=32)
    for _ in range(64):
        receivers.add(delivery("https://quick.example/"))
    assert len(list(receivers.excess(0.0))) == 32


def test_what_waits_for_half_of_its_lease_is_not_sent_and_handed_back() -> None:
    """Ends go first, so all else may wait behind them for ever."""
    receivers = Receivers(total=8, per_url=1, lease_s=10.0)
    first, early, later = (delivery("https://a.example/") for _ in range(3))
    receivers.add(first, 0.0)
    assert list(receivers.start(0.0)) == [first]
    receivers.add(early, 0.0)
    receivers.add(later, 3.0)
    receivers.finished(first, ok=True, now=5.5)
    assert list(receivers.start(5.5)) == [later]
    assert [one.delivery for one in receivers.excess(5.5)] == [early]
    assert receivers.add(early, 5.5)
    # What may be somebody else's by now is neither sent nor handed back.
    assert (list(receivers.start(16.0)), list(receivers.excess(16.0)), receivers.room) == ([], [], 16 - 1)


def test_what_is_here_is_not_taken_twice() -> None:
    receivers = Receivers(total=8, per_url=1)
    one, other = delivery("https://a.example/"), delivery("https://a.example/")
    assert receivers.add(one)
    assert not receivers.add(one)
    assert list(receivers.start(0.0)) == [one]
    assert not receivers.add(one)
    receivers.finished(one, ok=False, now=0.1, written=False)
    assert not receivers.add(one)
    receivers.written(one, 0.1)
    assert receivers.add(one)
    assert receivers.add(other)
    assert receivers.room == 16 - 2
