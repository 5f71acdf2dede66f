"""From where a key may be used: its networks, behind proxies of ours and without."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask
from redis import Redis

from calls.access import network
from settings import Settings
from store import keys
from tests.web.conftest import Api, World
from tests.web.key_houses import account, other, tenant_id
from web.app import create_app

__all__ = ["account"]  # a fixture
FROM_PROXY = {"REMOTE_ADDR": "192.0.2.1"}


@pytest.fixture
def behind(settings: Callable[..., Settings], world: World, redis: Redis) -> Flask:
    """The application behind a proxy of ours."""
    changes = settings(trusted_proxies="192.0.2.0/24, 2001:db8::/32", requests_per_s=10_000)
    return create_app(changes, database=world.database, redis=redis)


@pytest.mark.parametrize(
    ("peer", "forwarded", "status"),
    [
        ("203.0.113.9", None, 200),
        ("203.0.114.9", None, 403),
        ("192.0.2.1", "203.0.113.9", 200),
        ("192.0.2.1", "198.51.100.1, 203.0.113.9", 200),
        ("192.0.2.1", "203.0.113.9, 198.51.100.1", 403),  # invented by whoever is at 198.51.100.1
        ("198.51.100.1", "203.0.113.9", 403),  # no proxy of ours
        ("192.0.2.1", "203.0.113.9, 2001:db8::7", 200),
        ("192.0.2.1", None, 403),
        ("192.0.2.1", "unknown", 403),
        ("", "203.0.113.9", 403),
    ],
)
def test_a_key_opens_from_its_networks_alone(
    behind: Flask, account: Api, world: World, peer: str, forwarded: str | None, status: int
) -> None:
    made, bound = other(world, account, allowed_ips=[network("203.0.113.0/24")])
    bound.app = behind
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    response = bound.get("/v1/calls", headers=headers, environ_base={"REMOTE_ADDR": peer})
    assert response.status_code == status
    (mine,) = [one for one in keys.list_keys(world.database, tenant_id(world, account)) if one.id == made.id]
    assert (mine.last_used_at is not None) == (status == 200), "what is refused is no use of it"
    if status == 403:
        assert response.get_json()["code"] == "ip_not_allowed"
        # Who has no good key learns nothing of its networks.
        wrong = bound.key[:-1] + ("0" if bound.key[-1] != "0" else "1")
        refused = bound.get("/v1/calls", key=wrong, headers=headers, environ_base={"REMOTE_ADDR": peer})
        assert (refused.status_code, refused.get_json()["code"]) == (401, "bad_api_key")


def test_without_trusted_proxies_nobody_speaks_for_others(account: Api, world: World) -> None:
    _, bound = other(world, account, allowed_ips=[network("203.0.113.0/24")])
    headers = {"X-Forwarded-For": "203.0.113.9"}
    assert bound.get("/v1/calls", headers=headers, environ_base=FROM_PROXY).status_code == 403


@pytest.mark.parametrize("text", ["10.0.0.1/24", "all", "0.0.0.0/0"])
def test_trusted_proxies_are_networks(settings: Callable[..., Settings], text: str) -> None:
    with pytest.raises(ValueError, match="trusted_proxies"):
        settings(trusted_proxies=text)
