"""One table of addresses for all who connect to where a customer says."""

from __future__ import annotations

import ipaddress

import pytest

from calls.addresses import is_number_in_disguise, is_public

PUBLIC = [
    "1.1.1.1", "8.8.8.8", "93.184.216.34", "100.63.255.255", "100.128.0.1", "168.63.129.15", "168.63.129.17",
    "172.15.255.255", "172.32.0.1", "192.0.1.1", "192.88.98.1", "192.167.255.255", "198.17.255.255", "198.20.0.1",
    "223.255.255.255",
    "2001:200::1", "2001:4860:4860::8888", "2606:4700::1111", "2a00:1450::1", "2003::1",
    "::ffff:8.8.8.8", "64:ff9b::8.8.8.8",
]  # fmt: skip
INNER = [
    # this network, private, shared, loopback, link-local
    "0.0.0.0", "0.1.2.3", "10.0.0.0", "10.255.255.255", "100.64.0.0", "100.100.100.200", "100.127.255.255",
    "127.0.0.1", "127.255.255.254", "169.254.0.1", "169.254.169.254", "169.254.170.2", "172.16.0.0", "172.31.255.255",
    "192.168.0.1", "192.168.255.255",
    # assignments, documentation, relays, benchmarks, multicast, reserved; a cloud's inside under a public number
    "192.0.0.1", "192.0.0.9", "192.0.0.10", "192.0.0.192", "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.19.255.255",
    "198.51.100.1", "203.0.113.1", "224.0.0.1", "233.252.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
    "168.63.129.16",
    # IPv6: unspecified, loopback, compatible, local, site-local, unique local, multicast, discard, what is not given out
    "::", "::1", "::8.8.8.8", "::127.0.0.1", "fe80::1", "febf::1", "fec0::1", "feff::1", "fc00::1", "fd00:ec2::254",
    "fdff::1", "ff02::1", "ff0e::1", "100::1", "100:0:0:1::1", "200::1", "4000::1", "5f00::1", "8000::1", "e000::1",
    # protocol assignments, documentation
    "2001::1", "2001:1::1", "2001:2::1", "2001:3::1", "2001:10::1", "2001:20::1", "2001:1ff::1", "2001:db8::1", "3fff::1",
    # other addresses in disguise: mapped, translated, 6to4, Teredo; the last two even when what they carry is public
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:168.63.129.16", "::ffff:0:8.8.8.8",
    "64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b::168.63.129.16", "64:ff9b::1:8.8.8.8", "64:ff9b:1::8.8.8.8",
    "2002:7f00:1::", "2002:a00:1::", "2002:808:808::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2",
]  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_public(address: str) -> None:
    assert is_public(address)
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", INNER)
def test_not_public(address: str) -> None:
    assert not is_public(address)
    assert not is_public(ipaddress.ip_address(address))


def test_a_scope_hides_nothing() -> None:
    assert not is_public("fe80::1%eth0")
    assert not is_public("::1%25lo")


@pytest.mark.parametrize("text", ["", "localhost", "8.8.8", "8.8.8.8/32", "[::1]", "0x7f.1", "1.2.3.4.5", "008.8.8.8"])
def test_what_is_no_address_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"address"):
        is_public(text)


@pytest.mark.parametrize(
    ("host", "number"),
    [
        ("2130706433", True), ("0x7f000001", True), ("0X7F.1", True), ("127.1", True), ("127.0.0.1.", True),
        ("017700000001", True), ("10.0x", True), ("example.com", False), ("1.example.com", False), ("0xample", False),
        ("abc0", False), ("127.0.0.1.example", False), ("hooks.example.", False), ("xn--p1ai", False),
    ],
)  # fmt: skip
def test_a_number_is_no_name(host: str, number: bool) -> None:
    assert is_number_in_disguise(host) is number
