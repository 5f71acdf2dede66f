"""Numbers and caller ids as carriers want them, and the texts they refuse with."""

from __future__ import annotations

import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls.dialing import dialed, headers, identity, shown
from calls.reject_texts import checked, parse
from calls.trunk import Trunk, gateway_params, literal_address

GERMAN, BRITISH = "+493012345678", "+442079460000"


@pytest.mark.parametrize(
    ("trunk", "german", "british"),
    [
        (Trunk(), "+493012345678", "+442079460000"),
        (Trunk(number_format="double_zero"), "00493012345678", "00442079460000"),
        (Trunk(number_format="double_zero", international_prefix="011"), "011493012345678", "011442079460000"),
        (Trunk(number_format="digits"), "493012345678", "442079460000"),
        (Trunk(number_format="national", country_code="49"), "03012345678", "00442079460000"),
        (Trunk(number_format="national", country_code="49", national_prefix=""), "3012345678", "00442079460000"),
        (Trunk(tech_prefix="99#"), "99#+493012345678", "99#+442079460000"),
        (Trunk(tech_prefix="7", number_format="digits"), "7493012345678", "7442079460000"),
    ],
)
def test_the_dialed_number(trunk: Trunk, german: str, british: str) -> None:
    assert (dialed(GERMAN, trunk), dialed(BRITISH, trunk)) == (german, british)


def test_the_caller_id_has_a_format_of_its_own_and_no_tech_prefix() -> None:
    trunk = Trunk(number_format="digits", caller_format="national", country_code="49", tech_prefix="99")
    assert (dialed(GERMAN, trunk), shown(GERMAN, trunk)) == ("99493012345678", "03012345678")


@given(
    st.text(string.digits, min_size=1, max_size=3).filter(lambda code: code[0] != "0"),
    st.text(string.digits, min_size=5, max_size=11),
    st.sampled_from(["plus", "double_zero", "digits", "national"]),
)
def test_no_digit_is_lost(code: str, rest: str, form: str) -> None:
    trunk = Trunk(number_format=form, country_code=code)
    assert dialed(f"+{code}{rest}", trunk).endswith(rest)
    assert (
        dialed(f"+{code}{rest}", trunk).removeprefix("+").lstrip("0").endswith((code + rest).lstrip("0"))
        or form == "national"
    )


@pytest.mark.parametrize(
    ("trunk", "lines"),
    [
        (
            Trunk(),
            [
                f'From: "{GERMAN}" <sip:{GERMAN}@<our address>>',
                f'P-Asserted-Identity: "{GERMAN}" <sip:{GERMAN}@<our address>>',
                "Privacy: none",
            ],
        ),
        (
            Trunk(caller_header="ppi", privacy="off", caller_in_from=False, from_user="u", from_domain="d.example"),
            [f'From: "{GERMAN}" <sip:u@d.example>', f'P-Preferred-Identity: "{GERMAN}" <sip:{GERMAN}@d.example>'],
        ),
        (
            Trunk(privacy="id", from_domain="d.example"),
            [
                'From: "Anonymous" <sip:anonymous@anonymous.invalid>',
                f'P-Asserted-Identity: "{GERMAN}" <sip:{GERMAN}@d.example>',
                "Privacy: id",
            ],
        ),
        (
            Trunk(caller_header="rpid", privacy="id", from_domain="d.example"),
            [
                'From: "Anonymous" <sip:anonymous@anonymous.invalid>',
                f'Remote-Party-ID: "{GERMAN}" <sip:{GERMAN}@d.example>;party=calling;screen=yes;privacy=full',
            ],
        ),
        (Trunk(caller_header="none"), [f'From: "{GERMAN}" <sip:{GERMAN}@<our address>>']),
    ],
)
def test_who_calls(trunk: Trunk, lines: list[str]) -> None:
    assert headers(GERMAN, trunk, "192.0.2.1:5060") == lines


def test_a_withheld_caller_is_in_no_from() -> None:
    assert identity(Trunk(privacy="id"))["sip_from_uri"] == "sip:anonymous@anonymous.invalid"
    assert "hide_number" in identity(Trunk(privacy="id"))["origination_privacy"]
    assert "sip_from_uri" not in identity(Trunk())


def test_addresses_are_literals_of_both_families() -> None:
    assert str(literal_address("192.0.2.1:5060")[0]) == "192.0.2.1"
    assert literal_address("[2001:db8::1]:5061")[1] == 5061
    assert gateway_params(Trunk(), "[2001:db8::1]:5061")["proxy"] == "[2001:db8::1]:5061"
    with pytest.raises(ValueError, match="literal"):
        gateway_params(Trunk(), "sip.example:5060")


def test_texts_as_they_are_typed() -> None:
    assert parse(["503:cps:Calls per second: 10", "*:blocked:spam"]) == [
        {"code": 503, "text": "Calls per second: 10", "class": "cps"},
        {"code": None, "text": "spam", "class": "blocked"},
    ]
    assert parse(['[{"code": null, "text": "x", "class": "outage"}]']) == [{"code": None, "text": "x", "class": "outage"}]


@pytest.mark.parametrize(
    "specs", [["503"], ["503:cps"], ["x:cps:y"], ["503:slow:y"], ["200:cps:y"], ["503:cps:"], ["[1"], ["[1]"]]
)
def test_texts_that_say_nothing(specs: list[str]) -> None:
    with pytest.raises(ValueError, match="reject_texts"):
        parse(specs)


def _nested(inner: Any) -> Any:
    return st.lists(inner) | st.dictionaries(st.text(), inner)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), _nested))
def test_anything_is_refused_or_comes_out_in_the_one_form(entries: Any) -> None:
    try:
        made = checked(entries)
    except ValueError:
        return
    assert checked(made) == made
