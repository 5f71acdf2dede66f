"""A full trunk slows its carrier in the moment in which the refusal is applied, and only that does."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import pytest
from redis import Redis

from budget import refusals
from budget.connect import connect
from budget.replies import number
from budget.scopes import CarrierSpec, ScopeLimits, carrier_scope, set_carriers
from budget.scripts import PREFIX
from calls.evidence import Evidence
from settings import Settings
from store.attempts import Claimed
from tests.store.conftest import World, settings_for


@pytest.fixture
def options(world: World, redis_url: str) -> Settings:
    return settings_for(world.url, redis_url=redis_url)


@pytest.fixture
def redis(world: World, options: Settings) -> Iterator[Redis]:
    client = connect(options)
    set_carriers(client, [CarrierSpec(ScopeLimits(carrier_scope(world.carrier_id), 20, 100_000, rest_us=1_000_000))])
    yield client
    client.close()


def dialed(world: World) -> UUID:
    attempt = world.accept().attempt_id
    assert isinstance(world.claim(attempt), Claimed)
    return attempt


def end(world: World, attempt: UUID, cause: str, code: int | None, phrase: str | None) -> Evidence:
    return world.ended(attempt, cause, 2, sip_code=code, sip_phrase=phrase, disposition="recv_refuse")


def slowed(redis: Redis, world: World) -> list[str]:
    """What of the carrier has been lowered."""
    fields = redis.hmget(f"{PREFIX}s:{carrier_scope(world.carrier_id)}", "factor", "cap")
    assert isinstance(fields, list)
    return [name for name, value in zip(("cps", "channels"), fields, strict=True) if value is not None]


@pytest.mark.parametrize(
    ("cause", "code", "phrase", "what"),
    [
        ("NORMAL_TEMPORARY_FAILURE", 503, "CPS Limit reached P05", ["cps"]),
        ("CALL_REJECTED", 403, "Channel limit exceeded D1", ["channels"]),
        ("NORMAL_CIRCUIT_CONGESTION", 503, None, ["channels"]),
        ("NORMAL_TEMPORARY_FAILURE", 429, "Too Many Requests", ["cps"]),
        ("NORMAL_TEMPORARY_FAILURE", 503, "Service Unavailable", []),
        ("UNALLOCATED_NUMBER", 404, "Not Found", []),
        ("USER_BUSY", 486, "Busy Here", []),
        ("NO_ANSWER", None, None, []),
    ],
)
def test_what_is_lowered(
    world: World, redis: Redis, options: Settings, cause: str, code: int | None, phrase: str | None, what: list[str]
) -> None:
    evidence = end(world, dialed(world), cause, code, phrase)
    (row,) = world.apply(evidence)
    refusals.on_end(redis, options, row, evidence)
    assert slowed(redis, world) == what


def test_the_same_end_heard_twice_is_one_refusal(world: World, redis: Redis, options: Settings) -> None:
    attempt = dialed(world)
    key = f"{PREFIX}s:{carrier_scope(world.carrier_id)}"
    for _ in range(2):
        evidence = end(world, attempt, "NORMAL_TEMPORARY_FAILURE", 503, "CPS limit exceeded")
        (row,) = world.apply(evidence)
        refusals.on_end(redis, options, row, evidence)
        before = redis.hget(key, "factor_at")
        redis.hdel(key, "cps_refused")  # not the rest between two refusals is what is tested
    assert redis.hget(key, "factor_at") == before
    factor = redis.hget(key, "factor")
    assert isinstance(factor, bytes)
    assert float(factor) == pytest.approx(0.7)
    assert number(redis.hget(key, "recover")) == int(options.slow_recover_s * 1e6)


def test_without_redis_it_raises_nothing(world: World, options: Settings, caplog: pytest.LogCaptureFixture) -> None:
    gone = connect(options.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"}))
    evidence = end(world, dialed(world), "NORMAL_TEMPORARY_FAILURE", 503, "CPS limit exceeded")
    (row,) = world.apply(evidence)
    refusals.on_end(gone, options, row, evidence)
    assert "not slowed without Redis" in caplog.text
