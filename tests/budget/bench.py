"""One carrier, one tenant, an open epoch on a real Redis; short ways to fill lanes and take permits."""

from __future__ import annotations

from uuid import UUID, uuid4

from redis import Redis

from budget import epoch, lanes, permits
from budget.connect import connect
from budget.permits import Grant, Refusal
from budget.push import push
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
        self.settings = Settings(redis_url=redis_url, slot_horizon_ms=200)
        self.redis: Redis = connect(self.settings)
        open_epoch(self.redis, 7)

    def carrier(
        self, carrier: UUID = CARRIER, *, channels: int = 100, interval: int = 1, linger_us: int = 0, gap_us: int = HOUR
    ) -> None:
        lanes.set_limits(
            self.redis,
            carrier,
            max_channels=channels,
            interval=interval,
            linger_us=linger_us,
            paused=False,
            gap_us=gap_us,
        )

    def lane(
        self,
        tenant: UUID = TENANT,
        priority: str = "normal",
        *,
        route: str = "all",
        weight: int = 1,
        carriers: tuple[UUID, ...] = (CARRIER,),
    ) -> str:
        name = f"dial.{priority}.{tenant.hex}.{route}"
        lanes.set_lane(self.redis, name, tenant_id=tenant, priority=priority, weight=weight, carriers=carriers)
        return name

    def fill(self, lane: str, count: int) -> list[UUID]:
        ids = [uuid4() for _ in range(count)]
        assert push(self.redis, [(i, lane) for i in ids]) == count
        return ids

    def grant(self, carrier: UUID = CARRIER) -> Grant | Refusal:
        return permits.grant(self.redis, self.settings, carrier, "fs1")

    def take(self, carrier: UUID = CARRIER) -> Grant:
        answer = self.grant(carrier)
        assert isinstance(answer, Grant), answer
        return answer

    def refusal(self, carrier: UUID = CARRIER) -> Refusal:
        answer = self.grant(carrier)
        assert isinstance(answer, Refusal), answer
        return answer

    def slot(self, grant: Grant) -> int:
        """us, Redis' clock; the slot that was granted."""
        return self.field(grant.attempt_id, "slot")

    def field(self, attempt: UUID, name: str) -> int:
        """A number of the lease."""
        raw = self.redis.hget(f"tl1:lease:{attempt}", name)
        assert raw is not None, f"{attempt} has no lease"
        return int(raw)

    def number(self, key: str) -> int:
        """A number kept under ``tl1:<key>``."""
        raw = self.redis.get(f"tl1:{key}")
        assert raw is not None, f"no tl1:{key}"
        return int(raw)
