"""The controller decides on callers: on real Postgres, Redis and ESL, with calls from the lab carrier's own UAC."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import gevent
import pytest

from budget import permits
from budget.connect import connect
from budget.epoch import begin, marks, wipe
from budget.scopes import CarrierSpec, ScopeLimits, carrier_scope, set_carriers
from calls.evidence import Evidence, Source, State
from calls.inbound import ANONYMOUS
from controller.board import Board
from controller.esl import EslLink
from controller.frames import Event
from controller.inbound import Inbound, offer_of
from controller.reconcile import Reconciler
from lab.host import LabCarrier, LabSwitch
from settings import Settings
from store import carriers, numbers
from store.queue import list_live
from tests.budget.bench import open_epoch
from tests.store.conftest import World, settings_for
from tests.system.callers import Callers
from tests.system.conftest import CHECKOUT
from trunkline.children import wait_until

DID = "+4989111222"


@pytest.fixture(scope="module")
def switch() -> Iterator[LabSwitch]:
    plan = ["--dialplan", str(CHECKOUT / "dialplan" / "inbound.xml")]
    with LabCarrier("a") as carrier, LabSwitch({"gw": carrier.sip}, extra=plan) as running:
        yield running


@pytest.fixture
def callers(switch: LabSwitch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callers]:
    log = tmp_path_factory.mktemp("callers") / "log.jsonl"
    with Callers(switch.sip, simulated=True, log=log) as callers:
        yield callers


class Desk:
    """A controller's part that decides on callers, its event link, and what it passes on."""

    def __init__(self, world: World, redis_url: str, switch: LabSwitch) -> None:
        host, port = switch.esl
        self.settings: Settings = settings_for(
            world.url, redis_url=redis_url, esl_host=host, esl_port=port, esl_password=switch.password
        )
        self.world = world
        self.redis = connect(self.settings)
        self.link, self.events = EslLink(self.settings), EslLink(self.settings, role="events")
        self.board = Board(self.settings, world.db, self.redis, self.link, self.events)
        self.recorded: list[Evidence] = []
        self.heard: list[Event] = []
        self.inbound = Inbound(self.board, self.recorded.append)
        self.reconciler = Reconciler(self.board, self.recorded.append, lambda _: False, self.inbound.found)

    def open(self, *, listening: bool = True) -> None:
        self.redis.flushdb()
        limits = ScopeLimits(carrier_scope(self.world.carrier_id), 100, 1)
        set_carriers(self.redis, [CarrierSpec(limits)])
        self.link.connect()
        if listening:
            self.listen()

    def listen(self) -> None:
        self.events.register_handle("trunkline::inbound", self.heard.append)
        self.events.register_handle("trunkline::inbound", self.inbound.on_event)
        self.events.connect()

    def number(self, did: str = DID) -> None:
        self.world.execute("DELETE FROM numbers WHERE number = %s", did)
        numbers.put(self.world.db, number=did, tenant_id=self.world.tenant.id, agent_id=self.world.agent_id)

    def live(self) -> list[UUID]:
        return [row.attempt_id for row in list_live(self.world.db, self.settings.switch) if self.ours(row.attempt_id)]

    def ours(self, attempt: UUID) -> bool:
        sql = "SELECT count(*) FROM attempts a JOIN calls c ON c.id = a.call_id WHERE a.id = %s AND c.tenant_id = %s"
        return self.world.rows(sql, attempt, self.world.tenant.id) == [(1,)]

    def until(self, what: str, done: Callable[[], object]) -> None:
        def there() -> bool:
            gevent.sleep(0.02)
            return bool(done())

        wait_until(what, there, timeout_s=15)

    def close(self) -> None:
        self.events.stop()
        self.link.stop()
        self.redis.close()


@pytest.fixture
def desk(world: World, redis_url: str, switch: LabSwitch) -> Iterator[Desk]:
    made = Desk(world, redis_url, switch)
    yield made
    made.close()


def test_the_same_announcement_again_changes_nothing(desk: Desk, callers: Callers) -> None:
    desk.open()
    open_epoch(desk.redis, 1)
    desk.number()
    placed = callers.call(DID)
    desk.until("180", lambda: 180 in placed.statuses)
    (event,) = desk.heard
    for _ in range(3):
        desk.inbound.on_event(event)
    another = Inbound(desk.board, desk.recorded.append)  # as the next controller would be
    another.on_event(event)
    desk.until("its decision", lambda: UUID(str(event["Unique-ID"])) in another._decided)
    assert desk.live() == [UUID(str(event["Unique-ID"]))]
    (lease,) = permits.leases(desk.redis, [desk.world.carrier_id])
    assert str(lease.attempt_id) == event["Unique-ID"]
    assert desk.inbound.counts == {"taken": 1, "refused": 0}
    assert another.counts == {"taken": 0, "refused": 0}
    assert placed.statuses == [100, 180]
    callers.cancel(placed)
    callers.wait_ended(placed)


def test_a_caller_whom_nobody_heard_of_is_found_by_reconcile(desk: Desk, callers: Callers) -> None:
    desk.open(listening=False)
    open_epoch(desk.redis, 1)
    desk.number()
    placed = callers.call(DID)
    desk.until("100", lambda: 100 in placed.statuses)

    def rung() -> bool:
        desk.reconciler.one_pass()
        return 180 in placed.statuses

    desk.until("180", rung)
    assert len(desk.live()) == 1
    callers.cancel(placed)
    callers.wait_ended(placed)


def test_a_caller_waits_while_there_is_no_budget(desk: Desk, callers: Callers) -> None:
    desk.open()
    desk.number()
    placed = callers.call(DID)
    desk.until("its announcement", lambda: desk.heard)
    gevent.sleep(0.6)  # two tries
    assert placed.statuses == [100]
    open_epoch(desk.redis, 1)
    desk.until("180", lambda: 180 in placed.statuses)
    callers.cancel(placed)
    callers.wait_ended(placed)


def test_a_caller_waits_no_longer_than_patience(desk: Desk, callers: Callers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controller.inbound.PATIENCE_S", 0.5)
    desk.open()
    desk.number()
    desk.world.execute("DELETE FROM callers_refused")
    placed = callers.call(DID)
    desk.until("503", lambda: placed.final)
    assert placed.statuses == [100, 503]
    desk.until("the count", lambda: numbers.list_refused(desk.world.db))
    assert [one.reason for one in numbers.list_refused(desk.world.db)] == ["no_budget"]
    assert desk.live() == []


def test_what_is_seen_before_the_row_is_there_is_kept_for_it(desk: Desk, callers: Callers) -> None:
    desk.open()
    desk.number()
    placed = callers.call(DID)
    desk.until("its announcement", lambda: desk.heard)
    attempt = UUID(str(desk.heard[0]["Unique-ID"]))
    ring = Evidence(attempt, "ring", Source.EVENT, State.RINGING, datetime.now(UTC))
    assert desk.inbound.keeps(ring)
    assert desk.recorded == []
    open_epoch(desk.redis, 1)
    desk.until("180", lambda: 180 in placed.statuses)
    desk.until("what was kept", lambda: desk.recorded == [ring])
    assert not desk.inbound.keeps(ring)
    callers.cancel(placed)
    callers.wait_ended(placed)


def test_a_caller_admitted_before_a_rebuild_is_counted_after_it(
    desk: Desk, callers: Callers, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.open()
    open_epoch(desk.redis, 1)
    desk.number()
    seen: list[list[UUID]] = []

    def counted() -> list[UUID]:
        known = [one.id for one in carriers.list_limits(desk.world.db)]  # its address may be another test's carrier's too
        return [lease.attempt_id for lease in permits.leases(desk.redis, known)]

    take = Inbound._take

    def rebuilt(self: Inbound, *given: Any) -> None:
        """Between lease and row: a rebuild finds no row of it."""
        seen.append(counted())
        begin(desk.redis, marks(desk.redis), 2)
        wipe(desk.redis, 2)
        open_epoch(desk.redis, 3)
        seen.append(counted())
        take(self, *given)

    monkeypatch.setattr(Inbound, "_take", rebuilt)
    placed = callers.call(DID)
    desk.until("180", lambda: 180 in placed.statuses)
    (attempt,) = desk.live()
    assert seen == [[attempt], []]
    assert counted() == [attempt]
    callers.cancel(placed)
    callers.wait_ended(placed)


def event(**more: str) -> Event:
    channel = str(uuid4())
    plain = {
        "Event-Name": "CUSTOM",
        "Unique-ID": channel,
        "Call-Direction": "inbound",
        "Caller-Channel-Created-Time": "1795794440870116",
        "Caller-Destination-Number": DID,
        "Caller-Caller-ID-Number": "+4930123456",
        "Caller-Caller-ID-Name": "x\napi hupall",
        "variable_trunkline_attempt": channel,
        "variable_sip_network_ip": "192.0.2.1",
        "variable_sip_network_port": "5060",
        "variable_sip_call_id": "abc",
    }
    return {**plain, **more}


def test_an_announcement_is_read_as_numbers_and_addresses() -> None:
    offer = offer_of(event(), "fs1")
    assert offer is not None
    assert (offer.dialed, offer.from_number, offer.host, offer.port) == (DID, "+4930123456", "192.0.2.1", 5060)
    assert "hupall" not in repr(offer)


@pytest.mark.parametrize(
    ("field", "value", "read", "kept"),
    [
        ("Caller-Caller-ID-Number", "+49301;api hupall", "from_number", ANONYMOUS),
        ("Caller-Caller-ID-Number", "anonymous", "from_number", ANONYMOUS),
        ("Caller-Destination-Number", "+49\napi", "dialed", "?"),
        ("variable_sip_network_ip", "evil.example", "host", ""),
        ("variable_sip_network_port", "99999999", "port", None),
        ("variable_sip_call_id", "x" * 500, "sip_call_id", "x" * 128),
    ],
)
def test_what_is_no_number_is_not_taken_for_one(field: str, value: str, read: str, kept: object) -> None:
    offer = offer_of(event(**{field: value}), "fs1")
    assert offer is not None
    assert getattr(offer, read) == kept


@pytest.mark.parametrize(
    "change",
    [
        {"Unique-ID": "not-a-uuid"},
        {"variable_trunkline_attempt": str(uuid4())},
        {"Call-Direction": "outbound"},
        {"Caller-Channel-Created-Time": "0"},
    ],
)
def test_what_is_no_caller_of_ours_is_left_alone(change: dict[str, str]) -> None:
    assert offer_of(event(**change), "fs1") is None
