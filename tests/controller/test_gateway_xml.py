"""Gateways as files: the same bytes for the same version, XML that says what was meant, passwords for nobody else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from uuid import UUID
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls.trunk import Trunk, gateway_params
from controller.gateway_files import GatewayFiles
from controller.gateway_status import compare, differences, expected, other_family, read_gateways
from controller.gateway_xml import MARK, File, SecretMissing, acl_file, gateway_file
from store.gateways import Version

NOBODY = UUID(int=0)


def version(trunk: Trunk | None = None, address: str = "192.0.2.1:5060", secret: str | None = None) -> Version:
    return Version("acme-e1-v3", NOBODY, NOBODY, 3, gateway_params(trunk or Trunk(), address), secret, None)


def test_word_for_word() -> None:
    trunk = Trunk(transport="tcp", username="u7", from_domain="trunk.example", caller_in_from=False, ping_s=30)
    made = version(trunk)
    shuffled = replace(made, params=dict(sorted(made.params.items(), key=lambda item: item[0][::-1])))
    assert list(shuffled.params) != list(made.params), "a row keeps no order"
    assert gateway_file(shuffled, {}).text == gateway_file(made, {}).text
    assert (
        gateway_file(made, {}).text
        == f"""{MARK}
<include>
  <gateway name="acme-e1-v3">
    <param name="proxy" value="192.0.2.1:5060"/>
    <param name="register" value="false"/>
    <param name="register-transport" value="tcp"/>
    <param name="username" value="u7"/>
    <param name="from-domain" value="trunk.example"/>
    <param name="caller-id-in-from" value="false"/>
    <param name="ping" value="30"/>
    <param name="ping-min" value="1"/>
    <param name="ping-max" value="2"/>
  </gateway>
</include>
"""
    )


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=128))
def test_any_password_arrives_as_it_is(password: str) -> None:
    file = gateway_file(version(secret="TRUNKLINE_SECRET_A"), {"TRUNKLINE_SECRET_A": password})
    params = {p.get("name"): p.get("value") for p in ElementTree.fromstring(file.text.removeprefix(MARK)).iter("param")}
    assert params["password"] == password
    assert "$" not in file.text, "the switch replaces $${...} before it is XML"
    assert file.mode == 0o600


@pytest.mark.parametrize("value", ["", "a\nb", "é", "x" * 129])
def test_a_password_that_cannot_be_written_is_named_and_not_shown(value: str) -> None:
    with pytest.raises(SecretMissing, match="TRUNKLINE_SECRET_A") as caught:
        gateway_file(version(secret="TRUNKLINE_SECRET_A"), {"TRUNKLINE_SECRET_A": value})
    assert not value or value not in str(caught.value)


def test_a_file_with_a_password_does_not_show_it() -> None:
    assert "s3cret" not in repr(gateway_file(version(secret="TRUNKLINE_SECRET_A"), {"TRUNKLINE_SECRET_A": "s3cret"}))


def test_without_passwords_it_may_be_shown() -> None:
    file = gateway_file(version(secret="TRUNKLINE_SECRET_A"), None)
    assert "TRUNKLINE_SECRET_A" in file.text
    assert '"password"' not in file.text
    assert file.mode == 0o644


def test_addresses_that_may_call() -> None:
    ways = [version(address="192.0.2.1:5060"), version(address="192.0.2.1:5070"), version(address="[2001:db8::1]:5060")]
    text = acl_file(ways).text
    assert text.count("<node") == 2
    assert 'cidr="192.0.2.1/32"' in text
    assert 'cidr="2001:db8::1/128"' in text


def test_files_are_written_once_with_their_rights_and_only_ours_are_removed(tmp_path: Path) -> None:
    files = GatewayFiles(str(tmp_path))
    secret, plain = File("a.xml", f"{MARK}\na", secret=True), File("acl/b.xml", f"{MARK}\nb")
    assert files.write([secret, plain])
    assert not files.write([secret, plain])
    assert (tmp_path / "a.xml").stat().st_mode & 0o777 == 0o600
    (tmp_path / "a.xml").chmod(0o644)
    assert files.write([secret]), "others could read it"
    assert (tmp_path / "a.xml").stat().st_mode & 0o777 == 0o600
    (tmp_path / "hand.xml").write_text("<include/>")
    files.keep(frozenset())
    files.remove("hand")
    assert [path.name for path in tmp_path.glob("*.xml")] == ["hand.xml"]
    assert not list(tmp_path.glob(".*")), "nothing half written"


def listed(*gateways: dict[str, str]) -> str:
    blocks = "".join(
        "<gateway>" + "".join(f"<{name}>{value}</{name}>" for name, value in one.items()) + "</gateway>" for one in gateways
    )
    return f'<?xml version="1.0"?>\n<gateways>\n{blocks}</gateways>\n'


def as_loaded(of: Version) -> dict[str, str]:
    fields = {name: value for name, value in expected(of).items() if name != "transport"}
    fields["from"] = fields["from"].replace("<", "&lt;").replace(">", "&gt;")
    contact = f"&lt;sip:gw@192.0.2.9:5060;transport={of.params['register-transport']};gw=x&gt;"
    return {"name": of.gateway, "contact": contact, **fields}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("proxy", "sip:192.0.2.8:5060"),
        ("username", "other"),
        ("from", "&lt;sip:x@y&gt;"),
        ("pingfreq", "0"),
        ("contact", "&lt;sip:gw@192.0.2.9:5060;transport=tcp;gw=x&gt;"),
        ("password", "no"),
    ],
)
def test_each_difference_that_a_switch_shows_is_seen(field: str, value: str) -> None:
    wanted = version(Trunk(auth="digest", username="u7"), secret="TRUNKLINE_SECRET_A")
    loaded = as_loaded(wanted)
    assert differences(wanted, read_gateways(listed(loaded))["acme-e1-v3"]) == ""
    other = read_gateways(listed({**loaded, field: value}))["acme-e1-v3"]
    assert differences(wanted, other)


@pytest.mark.parametrize("address", ["192.0.2.1:5060", "[2001:db8::1]:5060"])
@pytest.mark.parametrize(("ours", "family"), [("192.0.2.9", "IPv4"), ("[::1]", "IPv6")])
def test_an_address_of_the_other_family_than_the_profiles_is_told_as_such(address: str, ours: str, family: str) -> None:
    wanted = version(address=address)
    contact = f"&lt;sip:gw+acme-e1-v3@{ours}:5060;transport=udp;gw=acme-e1-v3&gt;"
    seen = read_gateways(listed({**as_loaded(wanted), "contact": contact}))
    told = other_family(wanted, seen["acme-e1-v3"])
    assert [(f.what, f.detail) for f in compare([wanted], seen, [])] == ([("family", told)] if told else [])
    assert f'value="{address}"' in gateway_file(wanted, {}).text
    if address.startswith("[") == ours.startswith("["):
        assert told == ""
    else:
        assert f"speaks {family} alone" in told
        assert "FREESWITCH_SIP_IP" in told


def test_what_is_missing_and_what_nobody_knows() -> None:
    findings = compare([version()], read_gateways(listed({"name": "foreign"}, {"name": "hand"})), ["hand"])
    assert [(f.gateway, f.what) for f in findings] == [("acme-e1-v3", "missing"), ("foreign", "unknown")]
    with pytest.raises(ValueError, match="list of gateways"):
        read_gateways("-ERR no reply")
