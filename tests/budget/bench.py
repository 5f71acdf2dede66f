"""One carrier, one tenant, an open epoch on a real Redis; short ways to fill lanes and take permits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast
from uuid import UUID, uuid4

from redis import Redis

from budget import epoch, lanes, permits, scopes
from budget.connect import connect
from budget.inbound import Admission, admit
from budget.lanes import LaneSpec, Serving
from budget.permits import Answer, Grant
from budget.push import push
from budget.replies import text
from budget.scopes import CarrierSpec, ScopeLimits, carrier_scope, held_command
from budget.scripts import PREFIX, WAKE_CHANNEL, on_virtual_time
from settings import Settings

CARRIER = UUID(int=1)
TENANT = UUID(int=2)
#: us; longer than any test is kept waiting, so that none depends on how long it takes.
HOUR = 3_600_000_000


def open_epoch(redis: Redis, number: int) -> None:
    """As a leader does, with nothing to rebuild."""
    epoch.begin(redis, epoch.marks(redis), number)
    epoch.open_epoch(redis, number, epoch.run_id(redis), [])


class Bench:
    """One carrier, open epoch; ``slots`` that are far apart unless a test says otherwise."""

    def __init__(self, redis_url: str) -> None:
        self.settings = Settings(redis_url=redis_url, slot_horizon_ms=200, slot_lead_ms=70)
        self.redis: Redis = connect(self.settings)
        self.prepare()
        open_epoch(self.redis, 7)

    def prepare(self) -> None:
        """Before the epoch is opened."""

    def carrier(
        self,
        carrier: UUID = CARRIER,
        *,
        channels: int | None = 100,
        interval: int | None = 1,
        linger_us: int = 0,
        gap_us: int = HOUR,
        rest_us: int = 0,
        paused: bool = False,
        more: tuple[str, ...] = (),
        urgent_share: float = 1.0,
        bulk_floor: float = 0.0,
        reserved: int = 0,
    ) -> None:
        limits = ScopeLimits(carrier_scope(carrier), channels, interval, linger_us, paused, gap_us, rest_us, reserved)
        scopes.set_carriers(self.redis, [CarrierSpec(limits, more, urgent_share, bulk_floor)])

    def scope(
        self,
        scope: str,
        *,
        channels: int | None = None,
        interval: int | None = None,
        paused: bool = False,
        rest_us: int = 0,
        reserved: int = 0,
    ) -> None:
        limits = ScopeLimits(scope, channels, interval, paused=paused, gap_us=HOUR, rest_us=rest_us, reserved=reserved)
        scopes.set_scopes(self.redis, [limits])

    def lane(
        self,
        tenant: UUID = TENANT,
        priority: str = "normal",
        *,
        route: str = "all",
        weight: int = 1,
        share: float = 1.0,
        spill_us: int = 0,
        more: str = "",
        carriers: tuple[UUID | Serving, ...] = (CARRIER,),
    ) -> str:
        name = f"dial.{priority}.{tenant.hex}.{route}{more}"
        serving = tuple(one if isinstance(one, Serving) else Serving(one) for one in carriers)
        lanes.set_lane(self.redis, LaneSpec(name, tenant, priority, weight, serving, share, spill_us))
        return name

    def fill(self, lane: str, count: int) -> list[UUID]:
        ids = [uuid4() for _ in range(count)]
        assert push(self.redis, [(i, lane) for i in ids]) == ids
        return ids

    def grant(self, carrier: UUID = CARRIER, *, switch: str = "fs1", want: int = 1) -> Answer:
        return permits.grant(self.redis, self.settings, carrier, switch, want=want)

    def take(self, carrier: UUID = CARRIER, *, switch: str = "fs1") -> Grant:
        answer = self.grant(carrier, switch=switch)
        assert len(answer.grants) == 1, answer
        return answer.grants[0]

    def refusal(self, carrier: UUID = CARRIER, *, switch: str = "fs1") -> Answer:
        answer = self.grant(carrier, switch=switch)
        assert not answer.grants, answer
        return answer

    def admit(self, attempt: UUID | None = None, *, carrier: UUID | None = CARRIER, more: str = "") -> Admission:
        """A call that comes in."""
        lane = f"dial.inbound.{TENANT.hex}.inbound{more}"
        return admit(self.redis, self.settings, attempt or uuid4(), carrier, lane)

    def release(self, grant: Grant, linger_us: int | None = None) -> None:
        assert permits.release(self.redis, grant.attempt_id, grant.fence, linger_us=linger_us)

    def slot(self, grant: Grant) -> int:
        """us, Redis' clock; the slot that was granted."""
        return int(self.lease(grant.attempt_id)[5])

    def lease(self, attempt: UUID) -> list[str]:
        """The words of the lease."""
        raw = self.redis.get(f"{PREFIX}lease:{attempt}")
        assert isinstance(raw, bytes), f"{attempt} has no lease"
        return raw.decode().split(" ")

    def number(self, scope: str, field: str) -> float:
        """A number of a scope's hash."""
        raw = self.redis.hget(f"{PREFIX}s:{scope}", field)
        assert isinstance(raw, bytes), f"no {field} of {scope}"
        return float(raw)


def in_use(redis: Redis, scopes: Sequence[str]) -> dict[str, int]:
    """Calls that count in each scope."""
    return {scope: int(cast(Any, redis).execute_command(*held_command(scope)) or 0) for scope in scopes}


class VirtualBench(Bench):
    """The same on a clock that moves only when a test says so."""

    #: us; where the clock begins.
    START = 1_700_000_000_000_000

    def prepare(self) -> None:
        on_virtual_time(self.redis)
        self.now = self.START
        self.step(0)

    def step(self, us: int) -> None:
        """The clock is set; time passes that way too."""
        self.now += us
        self.redis.set(f"{PREFIX}now", self.now)


def tenant_of(grant: Grant) -> UUID:
    """Whose call it is."""
    return UUID(grant.lane.split(".")[2])


@contextmanager
def wakes(bench: Bench) -> Iterator[list[str]]:
    """What was said on the wake channel while the block ran; to be read after it."""
    heard: list[str] = []
    with cast(Any, bench.redis).pubsub(ignore_subscribe_messages=True) as channel:
        channel.subscribe(WAKE_CHANNEL)
        while not channel.subscribed or channel.get_message(timeout=0.05) is not None:
            pass
        yield heard
        bench.redis.publish(WAKE_CHANNEL, "end")
        for message in channel.listen():
            if text(message["data"]) == "end":
                break
            heard.append(text(message["data"]))
