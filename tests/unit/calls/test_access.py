"""From where a key may be used, and who asks behind proxies of ours: against models that are written another way."""

from __future__ import annotations

import ipaddress
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls.access import Network, address, client, is_in, network, networks, within

V4 = st.integers(0, 255).map(lambda low: f"10.0.0.{low}")
V6 = st.integers(0, 255).map(lambda low: f"2001:db8::{low:x}")
ADDRESSES = st.one_of(V4, V6)


def _net(text: str, bits: int) -> Network:
    return ip_network(f"{text}/{bits}", strict=False)


NETS = st.one_of(
    st.builds(_net, V4, st.integers(24, 32)),
    st.builds(_net, V6, st.integers(120, 128)),
)
LISTS = st.lists(NETS, min_size=1, max_size=4)


def members(nets: list[Network]) -> set[str]:
    return {str(one) for net in nets for one in net}


@given(ADDRESSES, LISTS)
def test_a_key_opens_from_its_networks_and_from_nowhere_else(text: str, nets: list[Network]) -> None:
    assert is_in(address(text), nets) == (str(ipaddress.ip_address(text)) in members(nets))
    assert is_in(address(text), None)
    assert not is_in(None, nets)


@given(LISTS, LISTS)
def test_within_lets_nothing_through_that_the_outer_list_keeps_out(inner: list[Network], outer: list[Network]) -> None:
    if within(inner, outer):
        assert members(inner) <= members(outer)
    elif len(inner) == len(outer) == 1:
        assert not members(inner) <= members(outer)
    assert within(inner, None)
    assert not within(None, outer)


PROXIES = st.integers(1, 3).map(lambda low: f"192.0.2.{low}")
TRUSTED = [network("192.0.2.0/24")]


@given(st.lists(st.one_of(ADDRESSES, PROXIES, st.just("unknown"), st.just("1.2.3")), max_size=5), PROXIES, V4, V4)
def test_what_a_client_invents_is_never_believed(invented: list[str], proxy: str, asks: str, far: str) -> None:
    """The proxy of ours adds its peer at the right; whatever stands left of it may be anything."""
    assert str(client(proxy, [*invented, asks], TRUSTED)) == asks
    assert str(client(proxy, [*invented, asks, proxy], TRUSTED)) == asks
    # Not a proxy of ours: nothing it says counts.
    assert str(client(far, [*invented, asks], TRUSTED)) == far
    assert str(client(proxy, [*invented, asks], [])) == proxy


@pytest.mark.parametrize(
    ("peer", "forwarded", "seen"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("192.0.2.1", ["192.0.2.2"], "192.0.2.2"),
        ("192.0.2.1", ["10.0.0.1:4711"], "10.0.0.1"),
        ("192.0.2.1", ["[2001:db8::1]:443"], "2001:db8::1"),
        ("192.0.2.1", ["[2001:db8::1]"], "2001:db8::1"),
        ("192.0.2.1", ["::ffff:10.0.0.1"], "10.0.0.1"),
        ("::ffff:192.0.2.1", ["10.0.0.1"], "10.0.0.1"),
        ("192.0.2.1", [" 10.0.0.1 "], "10.0.0.1"),
        ("192.0.2.1", ["10.0.0.9", "unknown"], "None"),
        ("192.0.2.1", ["10.0.0.9", "fe80::1%eth0"], "None"),
        ("192.0.2.1", ["10.0.0.9", ""], "None"),
        ("", ["10.0.0.1"], "None"),
        (None, ["10.0.0.1"], "None"),
    ],
)
def test_who_asks(peer: str | None, forwarded: list[str], seen: str) -> None:
    assert str(client(peer, forwarded, TRUSTED)) == seen


@pytest.mark.parametrize(
    "text", ["", "x", "10.0.0.1/24", "10.0.0.0/33", "0.0.0.0/0", "::/0", "::ffff:10.0.0.0/120", "10.0.0.0/24 ", "10.0.0/24"]
)
def test_what_is_no_network_is_refused_with_the_remedy(text: str) -> None:
    with pytest.raises(ValueError, match="give"):
        network(text)


def test_a_network_is_kept_once() -> None:
    assert [str(one) for one in networks(["10.0.0.1", "10.0.0.1/32", "2001:DB8::/32"])] == ["10.0.0.1/32", "2001:db8::/32"]
