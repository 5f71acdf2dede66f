"""The judgement that runs at the accept and at the claim: no moment that it permits is outside of any clock that counts."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import phonenumbers
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from calls.consent import Consent
from calls.hours import spans
from calls.permission import Facts, facts_of, first, judge
from calls.place_zones import is_place
from calls.places import Recipient, place_of
from calls.standing import Standing
from calls.windows import DAYS, Limits, Opening, Opens, RecipientWindow, Window, clock
from tests.retry.clocks import DAY, ODD, ZONES, a_moment, a_window, inside, rings

UTC_ZONE = ZoneInfo("UTC")
EVERYTHING = {"+": {"allow": True, "risk": "toll_fraud"}}
AGREED = Consent("express", reference="form 7")
LOW, NOT = {"allow": True, "risk": "low"}, {"allow": False, "risk": "low"}
#: Prefixes of one zone, of two, of all of a country; of clocks that change by half an hour, at midnight, not at all.
#: Where somebody can be.
PLACES = [name for name in (*ODD, *ZONES) if is_place(name)]
NUMBERS = (
    "+14155552671", "+18005550123", "+17015550123", "+18505550123", "+61491570156", "+79161234567", "+5511987654321",
    "+442079460000", "+33142685300", "+34912345678", "+390612345678", "+4930123456", "+97221234567", "+12423456789",
    "+351211234567", "+77012345678", "+81312345678", "+12505550123", "+390236618300", "+15065550123", "+862112345678",
)  # fmt: skip
randoms = st.integers(0, 2**63).map(Random)


def standing(**changes: Any) -> Standing:
    given: dict[str, Any] = {"configured": True, "destinations": EVERYTHING, "caller_id": "assigned", "consent": AGREED}
    return Standing(**{**given, **changes})


def facts(to: str, need_s: float = 55, *, window: Opens | None = None, **changes: Any) -> Facts:
    given: dict[str, Any] = {"standing": standing(), "agent_kind": "websocket", **changes}
    limits = Limits(UTC_ZONE, timedelta(seconds=need_s), window)
    return facts_of(to=to, caller="+442079460000", limits=limits, **given)


def legally(country: str, zone: str, moment: datetime) -> bool:
    """Whether the clock of the zone, as it is read, shows an hour at which the country is called."""
    local = moment.astimezone(ZoneInfo(zone))
    read, day = f"{local:%H:%M}", f"{local:%a}".lower()
    return any(day in span["days"] and span["from"] <= read < span["to"] for span in spans(country))


def lawful(country: str, zones: tuple[str, ...], at: datetime, need: timedelta) -> bool:
    """Whether the whole ring is inside, in every zone."""
    return all(legally(country, zone, moment) for moment in rings(at, need) for zone in zones)


@settings(max_examples=250, deadline=None)
@given(st.sampled_from(NUMBERS), st.sampled_from(PLACES), randoms)
def test_nothing_that_is_permitted_rings_outside_of_the_hours_of_its_place(to: str, zone: str, draw: Random) -> None:
    """Whatever zone is given, or however many a prefix has; around every change of a clock; at every edge."""
    recipient = Recipient(zone if draw.random() < 0.5 else None)
    at = a_moment(draw, zone)
    known = facts(to, draw.choice((1, 55, 150)), recipient=recipient)
    need = known.limits.need
    assert known.place.zones, "each of these numbers has a place"
    verdict = judge(known, at)
    assert verdict.permitted is lawful(known.place.country, known.place.zones, at, need)
    opening = first(known, at, at + 9 * DAY)
    if verdict.permitted:
        assert opening is not None
        assert opening.at == at
    if opening is None:
        return
    # A job that is delayed to the edge: to the last moment that was told, and to the first after it.
    assert opening.until is not None
    for moment in (opening.at, opening.until, opening.at + (opening.until - opening.at) / 3):
        assert judge(known, moment).permitted
        assert lawful(known.place.country, known.place.zones, moment, need)
    if opening.until + need < at + 9 * DAY:
        assert not judge(known, opening.until + timedelta(microseconds=1)).permitted
    # And nothing before it: hours begin at whole minutes.
    begin = at.replace(second=0, microsecond=0) + timedelta(minutes=1)
    minutes = max(0, int((opening.at - begin) / timedelta(minutes=1)))
    earlier = {begin + timedelta(minutes=draw.randint(0, minutes)) for _ in range(12)} | {at}
    assert not any(lawful(known.place.country, known.place.zones, one, need) for one in earlier if at <= one < opening.at)


def test_a_prefix_of_two_zones_is_called_when_both_allow_it() -> None:
    """208 is Idaho: the south by the clock of Boise, the north by that of Los Angeles, an hour behind."""
    known = facts("+12085550123")
    assert known.place.zones == ("America/Boise", "America/Los_Angeles")
    eight_in_the_east = datetime(2026, 11, 25, 15, 0, tzinfo=UTC)
    assert not judge(known, eight_in_the_east).permitted
    assert not judge(known, eight_in_the_east + timedelta(hours=1) - timedelta(microseconds=1)).permitted
    assert judge(known, eight_in_the_east + timedelta(hours=1)).permitted
    opening = first(known, eight_in_the_east, eight_in_the_east + DAY)
    # To nine in the evening in the east.
    last = eight_in_the_east + timedelta(hours=13) - known.limits.need
    assert opening == Opening(eight_in_the_east + timedelta(hours=1), last)
    assert judge(known, last).permitted
    assert not judge(known, last + timedelta(microseconds=1)).permitted
    # A window of the call that is open when it is too late in the east leaves no moment.
    late = Window(ZoneInfo("America/Los_Angeles"), frozenset(range(7)), 20 * 60, 21 * 60)
    assert first(facts("+12085550123", window=late), eight_in_the_east, eight_in_the_east + 9 * DAY) is None


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(NUMBERS), randoms)
def test_the_calls_own_window_and_the_hours_hold_together(to: str, draw: Random) -> None:
    """Also a window by the recipient's clock, in every zone of its prefix."""
    place = place_of(to, Recipient())
    at = a_moment(draw, place.zones[0])
    own = a_window(draw, draw.choice(ZONES), least=60)
    its: Opens = own if draw.random() < 0.5 else RecipientWindow(own.days, own.from_minute, own.to_minute).at(place.zones)
    zones = [own.zone.key] if its is own else list(place.zones)
    known = facts(to, window=its, standing=standing(hours=draw.choice(("country", "none"))))
    moment = first(known, at, at + 9 * DAY)
    for one in (at, *(() if moment is None else (moment.at, moment.until or moment.at))):
        in_window = all(
            inside(Window(ZoneInfo(name), own.days, own.from_minute, own.to_minute), one, known.limits.need)
            for name in zones
        )
        in_hours = known.standing.hours == "none" or lawful(place.country, place.zones, one, known.limits.need)
        assert judge(known, one).permitted is (in_window and in_hours)
        assert one == at or judge(known, one).permitted


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(NUMBERS), randoms)
def test_what_passes_says_when_and_then_it_has_passed(to: str, draw: Random) -> None:
    """A call that is put back until then is not put back again for the same reason."""
    known = facts(to)
    at = a_moment(draw, known.place.zones[0])
    verdict = judge(known, at)
    if not verdict.permitted:
        assert verdict.final is None
        assert verdict.until is not None
        assert judge(known, verdict.until).permitted


@pytest.mark.parametrize("region", sorted(phonenumbers.SUPPORTED_REGIONS))
def test_every_country_has_a_class_hours_and_zones_that_are_known_here(region: str) -> None:
    from calls.risks import of_country

    number = phonenumbers.example_number(region)
    assert number is not None
    to = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    assert of_country(region) is not None
    assert place_of(to, Recipient()).zones, "else none of its numbers would ever be dialed"
    # Spans that touched would let no ring across the place where they do.
    for day in DAYS:
        edges = sorted((span["from"], span["to"]) for span in spans(region) if day in span["days"])
        assert all(one[1] < other[0] for one, other in itertools.pairwise(edges))
        assert all(begin > "00:00" and end <= clock(23 * 60) for begin, end in edges), "no span may reach another's midnight"


NOON = datetime(2026, 11, 25, 17, 0, tzinfo=UTC)  # in Europe and in America


def codes(known: Facts, at: datetime = NOON) -> dict[str, str]:
    """Code -> pointer of each finding that holds for ever or refuses."""
    return {one.code: one.pointer for one in judge(known, at).refusing}


@pytest.mark.parametrize(
    ("to", "entries", "found"),
    [
        ("+4930123456", {}, "destination_not_allowed"),
        ("+4930123456", {"DE": {"allow": True, "risk": "low"}}, None),
        ("+4930123456", {"+49": {"allow": True, "risk": "low"}}, None),
        (
            "+4930123456",
            {"FR": {"allow": True, "risk": "low"}, "+33": {"allow": True, "risk": "low"}},
            "destination_not_allowed",
        ),
        # The longest prefix decides, and a country is narrower than its calling code.
        (
            "+4930123456",
            {"DE": {"allow": True, "risk": "low"}, "+4930": {"allow": False, "risk": "low"}},
            "destination_not_allowed",
        ),
        (
            "+4930123456",
            {"DE": {"allow": False, "risk": "low"}, "+49": {"allow": True, "risk": "low"}},
            "destination_not_allowed",
        ),
        ("+4930123456", {"+49": {"allow": False, "risk": "low"}, "+4930": {"allow": True, "risk": "low"}}, None),
        # A wide entry does not let through what is above its class: Jamaica is +1 too.
        ("+18765550123", {"+1": {"allow": True, "risk": "low"}}, "destination_risk"),
        ("+18765550123", {"US": {"allow": True, "risk": "low"}}, "destination_not_allowed"),
        ("+18765550123", {"JM": {"allow": True, "risk": "low"}}, "destination_risk"),
        ("+18765550123", {"JM": {"allow": True, "risk": "toll_fraud"}}, None),
        ("+14155552671", {"+1": {"allow": True, "risk": "low"}}, None),
        ("+49321234567890", {"DE": {"allow": True, "risk": "low"}}, "destination_risk"),
        # What cannot be read allows nothing.
        ("+4930123456", {"DE": True}, "destination_not_allowed"),
        ("+4930123456", {"DE": {"allow": True, "risk": "none"}}, "destination_not_allowed"),
    ],
)
def test_destinations_are_denied_unless_the_narrowest_entry_allows_them(
    to: str, entries: dict[str, object], found: str | None
) -> None:
    assert codes(facts(to, standing=standing(destinations=entries))) == ({} if found is None else {found: "/to"})


@pytest.mark.parametrize(
    ("own", "house", "to", "found"),
    [
        ({}, {}, "+4930123456", "destination_not_allowed"),
        # What nobody dials: whatever a tenant's own list says, and but for what the house itself lets through.
        ({"+4930": LOW, "DE": LOW}, {"DE": NOT}, "+4930123456", "destination_not_allowed"),
        ({"DE": LOW}, {"DE": NOT, "+4930": LOW}, "+4930123456", None),
        ({"DE": LOW}, {"DE": NOT, "+4930": LOW}, "+4989123456", "destination_not_allowed"),
        ({"+4930": NOT}, {"DE": NOT, "+4930": LOW}, "+4930123456", "destination_not_allowed"),
        # What each may: where its own list has no entry for the number.
        ({}, {"DE": LOW}, "+4930123456", None),
        ({"FR": LOW}, {"DE": LOW}, "+4930123456", None),
        ({"DE": NOT}, {"+4930": LOW}, "+4930123456", "destination_not_allowed"),
        ({}, {"+": LOW}, "+9603301234", "destination_risk"),
        ({"+": LOW}, {"MV": {"allow": True, "risk": "toll_fraud"}}, "+9603301234", "destination_risk"),
        ({"MV": {"allow": True, "risk": "toll_fraud"}}, {"DE": LOW}, "+9603301234", None),
        # What cannot be read lets nothing through.
        ({"DE": LOW}, {"DE": {"allow": "yes"}}, "+4930123456", "destination_not_allowed"),
    ],
)
def test_what_the_house_excludes_nobody_dials_and_what_it_allows_each_may(
    own: dict[str, Any], house: dict[str, Any], to: str, found: str | None
) -> None:
    known = codes(facts(to, standing=standing(destinations=own, house=house)))
    assert known == ({} if found is None else {found: "/to"})


def test_an_account_for_which_nothing_was_set_dials_nothing_whatever_the_house_allows() -> None:
    assert codes(facts("+4930123456", standing=Standing(house={"+": LOW}))) == {"account_not_set_up": "/to"}


@pytest.mark.parametrize(
    "to", ["+112", "+1911", "+881612345678", "+882161234567", "+9791234567890", "+19005550123", "+447012345678"]
)
def test_some_numbers_are_never_dialed_whatever_an_account_is_allowed(to: str) -> None:
    found = [one for one in judge(facts(to), NOON).findings if one.rule == "number"]
    assert [one.final for one in found] == [True]


def test_nothing_is_shown_that_is_not_the_accounts() -> None:
    assert codes(facts("+4930123456", standing=standing(caller_id=None))) == {"caller_id_not_allowed": "/from"}


def test_an_account_for_which_nothing_was_set_is_refused_at_the_door_and_its_calls_wait() -> None:
    known = facts("+4930123456", standing=Standing())
    assert codes(known) == {"account_not_set_up": "/to"}
    verdict = judge(known, NOON)
    assert verdict.final is None
    opening = first(known, NOON, NOON + DAY)
    assert opening is not None
    assert NOON < opening.at == verdict.until
    assert first(known, NOON, opening.at) is None


@pytest.mark.parametrize(
    ("to", "kind", "call", "account", "found"),
    [
        ("+14155552671", "websocket", None, None, {"consent_required": "/consent"}),
        ("+14155552671", "fleet", None, None, {"consent_required": "/consent"}),
        ("+14155552671", "announcement", None, None, {"consent_required": "/consent"}),
        ("+14155552671", "sip", None, None, {}),
        ("+14155552671", "of_tomorrow", None, None, {"consent_required": "/consent"}),
        ("+14155552671", "websocket", Consent("express_written"), None, {}),
        ("+14155552671", "websocket", None, AGREED, {}),
        ("+14155552671", "websocket", Consent("existing_customer"), None, {"consent_basis_not_enough": "/consent/basis"}),
        # What the call says stands before what its account says.
        ("+14155552671", "websocket", Consent("existing_customer"), AGREED, {"consent_basis_not_enough": "/consent/basis"}),
        ("+4930123456", "websocket", None, None, {}),
    ],
)
def test_a_machines_voice_needs_consent_where_the_country_asks_for_it(
    to: str, kind: str, call: Consent | None, account: Consent | None, found: dict[str, str]
) -> None:
    known = facts(to, agent_kind=kind, consent=call, standing=standing(consent=account))
    assert codes(known) == found
    if not found and (call or account):
        assert judge(known, NOON).as_dict()["consent"]["by"] == ("call" if call else "tenant")


def test_the_rules_of_where_the_callee_is_hold_beside_those_of_the_number() -> None:
    """A German number in America: consent as there, hours of both."""
    there = Recipient("America/Chicago", "US")
    assert codes(facts("+4930123456", recipient=there, standing=standing(consent=None))) == {"consent_required": "/consent"}
    saturday = datetime(2026, 11, 28, 19, 0, tzinfo=UTC)  # 13:00 in Chicago: fine for America, and Germany until 18:00
    assert judge(facts("+4930123456", recipient=there), saturday).permitted
    assert not judge(facts("+4930123456", recipient=there), saturday + timedelta(hours=6)).permitted
    assert judge(facts("+14155552671", recipient=there), saturday + timedelta(hours=6)).permitted


@example("+870773123456")
@given(st.sampled_from(["+870773123456", "+88213123456"]))
def test_where_nobody_knows_the_time_nobody_is_called_unless_the_account_has_a_zone(to: str) -> None:
    assert "zone_unknown" in codes(facts(to))
    assert "zone_unknown" not in codes(facts(to, standing=standing(time_zone="Europe/Berlin")))
    assert judge(facts(to, standing=standing(time_zone="Europe/Berlin")), NOON).facts.place.by == "default"
    assert "zone_unknown" not in codes(facts(to, recipient=Recipient("Asia/Tokyo")))
    assert "zone_unknown" in codes(facts(to, recipient=Recipient("Mars/Base")))
    none = standing(hours="none")
    assert "zone_unknown" not in codes(facts(to, standing=none))
    assert "zone_unknown" in codes(facts(to, standing=none, window_is_recipients=True))


def test_a_given_zone_goes_before_the_prefix_and_the_default() -> None:
    place = place_of("+14155552671", Recipient("Asia/Tokyo"), "Europe/Berlin")
    assert (place.zones, place.by) == (("Asia/Tokyo",), "given")
    assert place_of("+14155552671", Recipient(), "Europe/Berlin").zones == ("America/Los_Angeles",)
    assert len(place_of("+18005550123", Recipient()).zones) > 20
    assert place_of("+4930123456", Recipient("Mars/Base")).zones == ()


def test_the_decision_says_under_which_rules_and_on_what_it_rests() -> None:
    said = judge(facts("+14155552671"), NOON).as_dict()
    assert said["permitted"] is True
    assert said["country"] == "US"
    assert (said["zones"], said["zone_by"], said["local_times"]) == (
        ["America/Los_Angeles"],
        "number",
        ["2026-11-25T09:00-08:00"],
    )
    assert said["consent"] == {"by": "tenant", "basis": "express", "at": None, "reference": "form 7"}
    assert (said["hours"], said["caller_id"]) == ("country", "assigned")
    assert said["ruleset"].startswith("1.2026-")
    night = judge(facts("+14155552671"), NOON - timedelta(hours=6)).as_dict()
    assert [(one["rule"], one["until"]) for one in night["findings"]] == [("hours", "2026-11-25T16:00:00+00:00")]


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {"rules": []},
        {"rules": {"destinations": [], "hours": "country"}},
        {"rules": {"destinations": {}, "hours": "never"}},
        {"rules": None, "caller_id": "mine"},
        {"rules": {"destinations": {}, "hours": "none", "consent": {"basis": "x"}}, "house": {}},
        {"rules": {"destinations": {}, "hours": "none"}},
        {"rules": {"destinations": {}, "hours": "none"}, "house": None},
    ],
)
def test_a_standing_that_cannot_be_read_is_none(document: object) -> None:
    with pytest.raises(ValueError):
        Standing.read(document)


def test_no_rule_of_a_tenant_holds_for_a_test_call_but_its_own_window_does() -> None:
    """At night, to a number that it may not dial, showing one that is not its own, with no consent; its numbers are few."""
    night = datetime(2026, 1, 21, 8, 0, tzinfo=UTC)  # 3:00 in Washington
    document = {"test": True, "rules": None, "caller_id": None, "suppressed": {"id": 1}}
    test = Standing.read(document)
    assert judge(facts("+12025550101", standing=test), night).permitted
    assert not judge(facts("+12025550101", standing=Standing.read({**document, "test": False})), night).permitted
    for number in ("+12025550199", "+12025551101", "+4930123456", "+1202555010", "+120255501010"):
        said = judge(facts(number, standing=test), night)
        assert [(one.rule, one.code, one.final) for one in said.findings] == [("number", "not_a_test_number", True)], number
    window = Window(ZoneInfo("Europe/Berlin"), frozenset(range(7)), 12 * 60, 20 * 60)
    assert not judge(facts("+12025550101", standing=test, window=window), night).permitted
    for bad in (1, "true", None):
        with pytest.raises(ValueError, match="standing: test"):
            Standing.read({**document, "test": bad})
