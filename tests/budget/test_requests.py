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
    told = [count(redis, "acme", 3, 10)[0] for _ in range(5)]
    assert [one.allowed for one in told] == [True, True, True, False, False]
    assert [one.remaining for one in told] == [2, 1, 0, 0, 0]
    assert all(0 < one.reset_s <= 10 for one in told)
    assert count(redis, "other", 3, 10)[0].remaining == 2


def test_the_window_before_counts_by_what_is_left_of_it(redis: Redis) -> None:
    for _ in range(10):
        count(redis, "acme", 10, 100)
    key = f"{PREFIX}requests:acme"
    since = int(redis.hget(key, "since") or 0)
    redis.hset(key, "since", since - 150_000)  # half of the second window is over: half of the first one counts
    told = [count(redis, "acme", 10, 100)[0].allowed for _ in range(7)]
    assert told in ([True] * 5 + [False] * 2, [True] * 6 + [False])  # the clock goes on
    redis.hset(key, "since", since - 350_000)
    assert count(redis, "acme", 10, 100)[0].remaining == 9
    assert 0 < redis.pttl(key) <= 200_000


def test_many_that_came_at_once_are_counted_as_one_after_the_other(redis: Redis) -> None:
    assert [one[:2] for one in count(redis, "many", 5, 10, 3)] == [(True, 4), (True, 3), (True, 2)]
    assert [one[:2] for one in count(redis, "many", 5, 10, 4)] == [(True, 1), (True, 0), (False, 0), (False, 0)]
    assert [one[:2] for one in count(redis, "many", 5, 10, 2)] == [(False, 0), (False, 0)]
