"""Requests in a sliding window: never more than a window takes, over any stretch of its length."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from redis import Redis

from budget.requests import count
from budget.scripts import PREFIX


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as client:
        yield client


def test_a_window_takes_so_many_and_says_how_many_are_left(redis: Redis) -> None:
    told = [count(redis, "acme", 3, 10) for _ in range(5)]
    assert [one.allowed for one in told] == [True, True, True, False, False]
    assert [one.remaining for one in told] == [2, 1, 0, 0, 0]
    assert all(0 < one.reset_s <= 10 for one in told)
    assert count(redis, "other", 3, 10).remaining == 2


def test_the_window_before_counts_by_what_is_left_of_it(redis: Redis) -> None:
    for _ in range(10):
        count(redis, "acme", 10, 100)
    key = f"{PREFIX}requests:acme"
    since = int(redis.hget(key, "since") or 0)
    redis.hset(key, "since", since - 150_000)  # half of the second window is over: half of the first one counts
    told = [count(redis, "acme", 10, 100).allowed for _ in range(7)]
    assert told in ([True] * 5 + [False] * 2, [True] * 6 + [False])  # the clock goes on
    redis.hset(key, "since", since - 350_000)
    assert count(redis, "acme", 10, 100).remaining == 9
    assert 0 < redis.pttl(key) <= 200_000
