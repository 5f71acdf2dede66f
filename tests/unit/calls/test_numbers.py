"""What may be dialed, what may be shown, and what a refusal says."""

from __future__ import annotations

import re
from contextlib import suppress

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phonenumbers import timezone

from calls.numbers import Number, NumberError, NumberKind, parse_caller_id, parse_destination, planned
from calls.places import Numbered, numbered

DIALABLE = [
    ("+14155550101", "US", NumberKind.FIXED_LINE_OR_MOBILE),
    ("+12125551212", "US", NumberKind.FIXED_LINE_OR_MOBILE),
    ("+18005551212", "US", NumberKind.TOLL_FREE),
    ("+442079460000", "GB", NumberKind.FIXED_LINE),
    ("+4930123456", "DE", NumberKind.FIXED_LINE),
    ("+8801712345678", "BD", NumberKind.MOBILE),
    ("+390612345678", "IT", NumberKind.FIXED_LINE),
    ("+33939012345", "FR", NumberKind.VOIP),
]

REFUSED = [
    ("", "empty"),
    # Emergency, bare, with a plus, behind a country code.
    ("911", "emergency"),
    ("+911", "emergency"),
    ("+1911", "emergency"),
    ("112", "emergency"),
    ("+112", "emergency"),
    ("+49112", "emergency"),
    ("999", "emergency"),
    ("+44999", "emergency"),
    ("+61000", "emergency"),
    ("+81110", "emergency"),
    ("+880999", "emergency"),
    # Expensive or useless.
    ("+19005551234", "premium_rate"),
    ("+449012345678", "premium_rate"),
    ("+979123456789", "premium_rate"),
    ("+80812345678", "shared_cost"),
    ("+61131112", "shared_cost"),
    ("+49180123456", "shared_cost"),
    ("+447012345678", "personal_number"),
    ("+443001234567", "uan"),
    ("+447640123456", "pager"),
    ("+870773111632", "no_country"),
    ("+881612345678", "no_country"),
    ("+882161234567", "no_country"),
    ("+80012345678", "no_country"),
    # Short.
    ("+1411", "short_code"),
    ("+12", "too_short"),
    ("+1415555010", "too_short"),
    ("+442011", "too_short"),
    # Form.
    ("4155550101", "missing_plus"),
    ("14155550101", "missing_plus"),
    ("0014155550101", "missing_plus"),
    ("+0123456789", "unknown_country"),
    ("+210123456789", "unknown_country"),
    ("+1415555010123", "too_long"),
    ("+1234567890123456", "too_long"),
    ("+15550001111", "invalid_number"),
    ("+4402079460000", "not_canonical"),
    ("+1 415 555 0101", "forbidden_character"),
    ("+1-415-555-0101", "forbidden_character"),
    ("+1(415)5550101", "forbidden_character"),
    (" +14155550101", "forbidden_character"),
    ("+14155550101 ", "forbidden_character"),
    ("+1415555O1O1", "forbidden_character"),
    ("+1800FLOWERS", "forbidden_character"),
    ("+14155550101x5", "forbidden_character"),
    ("+14155550101;ext=5", "forbidden_character"),
    ("tel:+14155550101", "forbidden_character"),
    ("sip:+14155550101@example.org", "forbidden_character"),
    ("++14155550101", "forbidden_character"),
    ("+14155550101\n", "forbidden_character"),
    ("+14155550101\r\napi status", "forbidden_character"),
    ("+14155550101\x00", "forbidden_character"),
    ("{a=b}+14155550101", "forbidden_character"),
    ("+14155550101}", "forbidden_character"),
    ("+14155550101,+14155550102", "forbidden_character"),
    ("+14155550101|+14155550102", "forbidden_character"),
    ("+14155550101'", "forbidden_character"),
    ("+14155550101&park()", "forbidden_character"),
    ("+\uff11\uff14\uff11\uff15\uff15\uff15\uff15\uff10\uff11\uff10\uff11", "forbidden_character"),  # full-width digits
    ("+\u0661\u0664\u0661\u0665\u0665\u0665\u0665\u0660\u0661\u0660\u0661", "forbidden_character"),  # Arabic digits
]


@pytest.mark.parametrize(("text", "country", "kind"), DIALABLE)
def test_what_may_be_dialed_and_shown(text: str, country: str, kind: NumberKind) -> None:
    assert parse_destination(text) == Number(text, country, kind)
    assert parse_caller_id(text) == Number(text, country, kind)
    assert str(parse_destination(text)) == text


@pytest.mark.parametrize(("text", "code"), REFUSED)
def test_what_is_never_dialed(text: str, code: str) -> None:
    with pytest.raises(NumberError) as refusal:
        parse_destination(text)
    assert refusal.value.code == code
    assert re.search(r"\b(Give|give) ", refusal.value.detail), "the refusal names the remedy"
    assert refusal.value.detail == str(refusal.value)


@pytest.mark.parametrize(("text", "code"), [(text, code) for text, code in REFUSED if code != "uan"])
def test_what_is_never_shown(text: str, code: str) -> None:
    with pytest.raises(NumberError) as refusal:
        parse_caller_id(text)
    assert refusal.value.code == code


def test_a_companys_universal_number_may_be_shown_only() -> None:
    assert parse_caller_id("+443001234567") == Number("+443001234567", "GB", NumberKind.UAN)


def test_no_example_of_a_refused_kind_passes_in_any_country() -> None:
    """Every country's own example of each kind that is never dialed."""
    kinds = phonenumbers.PhoneNumberType
    tried = 0
    for region in phonenumbers.SUPPORTED_REGIONS:
        for kind in (kinds.PREMIUM_RATE, kinds.SHARED_COST, kinds.PAGER, kinds.PERSONAL_NUMBER, kinds.UAN, kinds.VOICEMAIL):
            example = phonenumbers.example_number_for_type(region, kind)
            if example is None or phonenumbers.number_type(example) != kind:
                continue
            tried += 1
            with pytest.raises(NumberError):
                parse_destination(phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164))
    assert tried > 200


def test_every_countrys_emergency_numbers_are_refused_in_every_spelling() -> None:
    tried = 0
    for region in phonenumbers.SUPPORTED_REGIONS:
        country = phonenumbers.country_code_for_region(region)
        for digits in ("112", "911", "999", "000", "110", "119", "190", "100", "108"):
            if not phonenumbers.is_emergency_number(digits, region):
                continue
            for text in (digits, f"+{digits}", f"+{country}{digits}"):
                tried += 1
                with pytest.raises(NumberError) as refusal:
                    parse_destination(text)
                assert refusal.value.code == "emergency", text
    assert tried > 500


@given(
    st.text(max_size=20)
    | st.from_regex(r"\+?[0-9 {}|,\n]{3,16}", fullmatch=True)
    | st.from_regex(r"\+1415555[0-9]{3,5}[\n,}]?", fullmatch=True)
)
def test_whatever_passes_is_plain_e164(text: str) -> None:
    for parse in (parse_destination, parse_caller_id):
        with suppress(NumberError):
            number = parse(text)
            assert number.e164 == text
            assert re.fullmatch(r"\+[1-9][0-9]{5,14}", number.e164)


@given(st.sampled_from(DIALABLE), st.characters(), st.integers(0, 13))
def test_one_strange_character_anywhere_is_refused(number: tuple[str, str, NumberKind], char: str, where: int) -> None:
    text = number[0][:where] + char + number[0][where:]
    if char not in "0123456789":
        with pytest.raises(NumberError):
            parse_destination(text)


def test_a_number_is_looked_at_once_and_found_to_be_what_it_is() -> None:
    """Region, validity and zones as libphonenumber finds them, each asked by itself; of each kind in each country, and with
    its last digit changed or missing.
    """
    tried = set()
    for region in phonenumbers.SUPPORTED_REGIONS:
        for kind in phonenumbers.PhoneNumberType.values():
            example = phonenumbers.example_number_for_type(region, kind)
            if example is None:
                continue
            whole = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
            tried |= {whole, whole[:-1], f"{whole[:-1]}{(int(whole[-1]) + 5) % 10}"}
    assert len(tried) > 2000
    for text in tried:
        try:
            number = phonenumbers.parse(text, None)
        except phonenumbers.NumberParseException:
            assert numbered(text) == Numbered("", ())
            continue
        plan = planned(text)
        assert plan.region == phonenumbers.region_code_for_number(number), text
        valid = plan.region is not None and plan.type != phonenumbers.PhoneNumberType.UNKNOWN
        assert valid == phonenumbers.is_valid_number(number), text
        found = numbered(text)
        assert found.country == (plan.region or ""), text
        assert found.zones in ((), tuple(timezone.time_zones_for_number(number))), text
