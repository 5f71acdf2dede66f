"""Telephone numbers: what may be dialed and what may be shown, decided once, at the door.

Only exact E.164 passes: ``+``, country code, subscriber number, ASCII digits and nothing else. So a parsed
:class:`Number` can go into a switch command as it stands. Refused for good: emergency, premium rate, shared cost, short
codes, pagers, personal numbers, universal access, voicemail and numbers of no country (satellite, global services).

Source of the numbering plans: the ``phonenumbers`` package (Google's libphonenumber metadata).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

import phonenumbers
from phonenumbers import PhoneNumber, PhoneNumberType
from phonenumbers.shortnumberinfo import SUPPORTED_SHORT_REGIONS

_E164_FORM = re.compile(r"\+[1-9][0-9]{5,14}")
_SEPARATORS = frozenset(" -.()/\t\u00a0")
_REMEDY = "Give it in E.164: + then country code and number, digits only, like +442079460000."
_WORLD = "001"  # libphonenumber's region of numbers that belong to no country
_LONGEST_EMERGENCY = 6  # digits


class NumberKind(StrEnum):
    """What kind of line a number is, as far as its plan tells."""

    FIXED_LINE = "fixed_line"
    MOBILE = "mobile"
    FIXED_LINE_OR_MOBILE = "fixed_line_or_mobile"  # the plan does not tell them apart (as in +1)
    TOLL_FREE = "toll_free"
    VOIP = "voip"
    UAN = "uan"  # a company's universal access number: may be shown, is never dialed


@dataclass(frozen=True, slots=True)
class Number:
    """A number that passed. ``country`` is ISO 3166-1 alpha-2; ``e164`` is ``+`` and 6 to 15 digits."""

    e164: str
    country: str
    kind: NumberKind

    def __str__(self) -> str:
        return self.e164


class NumberError(ValueError):
    """A refused number: ``code`` is stable for programs, ``detail`` says what is wrong and what to do, for people."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


_KINDS: dict[int, NumberKind] = {
    PhoneNumberType.FIXED_LINE: NumberKind.FIXED_LINE,
    PhoneNumberType.MOBILE: NumberKind.MOBILE,
    PhoneNumberType.FIXED_LINE_OR_MOBILE: NumberKind.FIXED_LINE_OR_MOBILE,
    PhoneNumberType.TOLL_FREE: NumberKind.TOLL_FREE,
    PhoneNumberType.VOIP: NumberKind.VOIP,
    PhoneNumberType.UAN: NumberKind.UAN,
}

_REFUSED_KINDS: dict[int, tuple[str, str]] = {
    PhoneNumberType.PREMIUM_RATE: ("premium_rate", "This is a premium-rate number, which is never used."),
    PhoneNumberType.SHARED_COST: ("shared_cost", "This is a shared-cost number, which is never used."),
    PhoneNumberType.PAGER: ("pager", "This number belongs to a pager, which cannot talk."),
    PhoneNumberType.PERSONAL_NUMBER: (
        "personal_number",
        "This is a follow-me personal number, charged like premium rate; it is never used.",
    ),
    PhoneNumberType.UAN: ("uan", "This is a company's universal access number, which is never dialed."),
    PhoneNumberType.VOICEMAIL: ("voicemail", "This number is a voicemail access, not a person."),
}
_USE_ANOTHER = " Give the person's own fixed or mobile number."

_DIALED = frozenset(NumberKind) - {NumberKind.UAN}
_SHOWN = frozenset(NumberKind)


def parse_destination(text: str) -> Number:
    """The number to dial, or :class:`NumberError`.

    Codes: ``empty``, ``missing_plus``, ``forbidden_character``, ``too_short``, ``too_long``, ``unknown_country``,
    ``not_canonical``, ``emergency``, ``short_code``, ``premium_rate``, ``shared_cost``, ``personal_number``, ``pager``,
    ``uan``, ``voicemail``, ``no_country``, ``invalid_number``.
    """
    return _parse(text, _DIALED)


def parse_caller_id(text: str) -> Number:
    """The number to show: as :func:`parse_destination`, but a company's universal access number may be shown."""
    return _parse(text, _SHOWN)


def parse_suppressed(text: str) -> str:
    """The E.164 form of a number that is not to be called, or :class:`NumberError` for what has no such form.

    Taken are separators, a national trunk prefix (neither is ever dialed, so both are left out) and numbers of no plan: they
    harm nobody, and a list that was drawn elsewhere must not lose a line for them.
    """
    digits = "".join(char for char in text if char not in _SEPARATORS)
    _check_form(digits)
    try:
        number = phonenumbers.parse(digits, None)
    except phonenumbers.NumberParseException:
        return digits
    canonical = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    return canonical if _E164_FORM.fullmatch(canonical) else digits


#: Numbers whose answer is kept: a whole batch's, which the rules ask after when all of its rows were read.
_KEPT = 16_384


@dataclass(frozen=True, slots=True)
class Planned:
    """What the plan says of a number: of which region it is (None: of none), and libphonenumber's type."""

    number: PhoneNumber
    region: str | None
    type: int


@lru_cache(_KEPT)
def planned(e164: str) -> Planned:
    """Asked once of a number: each of the two questions goes through all plans of its country code, and twice through the
    number's own. Raises ``phonenumbers.NumberParseException``.
    """
    number = phonenumbers.parse(e164, None)
    return Planned(number, phonenumbers.region_code_for_number(number), phonenumbers.number_type(number))


@lru_cache(_KEPT)
def _parse(text: str, allowed: frozenset[NumberKind]) -> Number:
    _check_form(text)
    try:
        plan = planned(text)
    except phonenumbers.NumberParseException as error:
        _refuse_short(text, None)
        if error.error_type == phonenumbers.NumberParseException.INVALID_COUNTRY_CODE:
            raise NumberError("unknown_country", f"No country has this country code. {_REMEDY}") from None
        raise NumberError("too_short", f"The number is too short to be a telephone number. {_REMEDY}") from None
    number, region = plan.number, plan.region
    if region is None or plan.type == PhoneNumberType.UNKNOWN:  # what is_valid_number would look for
        _refuse_short(text, number)
        _refuse_length(number)
        raise NumberError("invalid_number", f"The country's numbering plan has no such number. {_REMEDY}")
    return _judge(text, number, region, plan.type, allowed)


def load_plans() -> None:
    """Reads every country's numbering plan now (some 50 ms, 3 MB) and not at the first number of each."""
    phonenumbers.PhoneMetadata.load_all()
    _is_emergency("0")


def _check_form(text: str) -> None:
    """Raise unless ``text`` is exactly ``+`` and 6 to 15 ASCII digits, the first not 0."""
    if _E164_FORM.fullmatch(text) is not None:
        return
    if not text:
        raise NumberError("empty", f"The number is empty. {_REMEDY}")
    digits = text.removeprefix("+")
    strange = [char for char in digits if char not in "0123456789"]
    if strange:
        what = "a space or separator" if strange[0] in _SEPARATORS else "a character that is not a digit"
        raise NumberError("forbidden_character", f"The number contains {what}. {_REMEDY}")
    if _is_emergency(digits):
        raise NumberError("emergency", "This is an emergency number, which is never dialed." + _USE_ANOTHER)
    if not text.startswith("+"):
        raise NumberError("missing_plus", f"The number does not start with +. {_REMEDY}")
    if digits.startswith("0"):
        raise NumberError("unknown_country", f"No country code starts with 0. {_REMEDY}")
    if len(digits) > 15:
        raise NumberError("too_long", f"The number has {len(digits)} digits; E.164 allows 15. {_REMEDY}")
    _refuse_short(text, None)
    raise NumberError("too_short", f"The number has only {len(digits)} digits. {_REMEDY}")


def _is_emergency(digits: str) -> bool:
    """Whether these bare digits are an emergency number anywhere."""
    return len(digits) <= _LONGEST_EMERGENCY and any(
        phonenumbers.is_emergency_number(digits, region) for region in SUPPORTED_SHORT_REGIONS
    )


def _refuse_short(text: str, number: PhoneNumber | None) -> None:
    """Raise if ``text`` is an emergency number or a short code, with or without a country code before it."""
    if number is None:
        try:
            number = phonenumbers.parse(text, None)
        except phonenumbers.NumberParseException:
            number = None
    bare = [text.removeprefix("+")]
    if number is not None:
        bare.append(phonenumbers.national_significant_number(number))
    if any(_is_emergency(digits) for digits in bare):
        raise NumberError("emergency", "This is an emergency number, which is never dialed." + _USE_ANOTHER)
    if number is not None and phonenumbers.is_valid_short_number(number):
        raise NumberError("short_code", "This is a short code, which only works inside its country." + _USE_ANOTHER)


def _refuse_length(number: PhoneNumber) -> None:
    reason = phonenumbers.is_possible_number_with_reason(number)
    if reason in (phonenumbers.ValidationResult.TOO_SHORT, phonenumbers.ValidationResult.IS_POSSIBLE_LOCAL_ONLY):
        raise NumberError("too_short", f"The number is too short for its country. {_REMEDY}")
    if reason == phonenumbers.ValidationResult.TOO_LONG:
        raise NumberError("too_long", f"The number is too long for its country. {_REMEDY}")


def _judge(text: str, number: PhoneNumber, region: str, number_type: int, allowed: frozenset[NumberKind]) -> Number:
    """A number the plan knows: is it one we use?"""
    kind = _KINDS.get(number_type)
    if kind not in allowed and number_type in _REFUSED_KINDS:
        code, detail = _REFUSED_KINDS[number_type]
        raise NumberError(code, detail + _USE_ANOTHER)
    if region == _WORLD:
        raise NumberError("no_country", "This number belongs to no country (satellite or global)." + _USE_ANOTHER)
    if kind is None or kind not in allowed:
        raise NumberError("invalid_number", f"The kind of this number is unknown, so it is not used. {_REMEDY}")
    if phonenumbers.is_emergency_number(phonenumbers.national_significant_number(number), region):
        raise NumberError("emergency", "This is an emergency number, which is never dialed." + _USE_ANOTHER)
    canonical = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    if canonical != text:
        raise NumberError(
            "not_canonical", f"In E.164 this number is {canonical}, without the national trunk prefix. Give that."
        )
    return Number(e164=text, country=region, kind=kind)
