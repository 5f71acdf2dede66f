"""Identifiers and lane names: exact forms, round trips, refusals."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls.ids import RefKind, agent_ref, call_ref, new_uuid7, parse_ref, uuid7
from calls.lanes import PRIORITIES, Lane, inbound_lane, lane_name, lane_with_pool, parse_lane

TENANT = UUID("0193f4a0-1111-7000-8000-0123456789ab")
instants = st.datetimes(datetime(1970, 1, 1), datetime(9999, 1, 1)).map(lambda at: at.replace(tzinfo=UTC))  # noqa: DTZ001
entropy = st.binary(min_size=10, max_size=10)


def test_the_layout() -> None:
    """Time and last 62 bits of RFC 9562's example A.6; the 12 bits between hold our microseconds, here none."""
    made = uuid7(datetime(2022, 2, 22, 19, 22, 22, tzinfo=UTC), bytes.fromhex("000018c4dc0c0c07398f"))
    assert made == UUID("017f22e2-79b0-7000-98c4-dc0c0c07398f")
    half = uuid7(datetime(2022, 2, 22, 19, 22, 22, 500, tzinfo=UTC), bytes(10))
    assert half == UUID("017f22e2-79b0-7800-8000-000000000000")


@given(instants, entropy)
def test_version_variant_and_time(now: datetime, random: bytes) -> None:
    made = uuid7(now, random)
    assert (made.version, made.variant) == (7, RFC_4122)
    milliseconds = made.int >> 80
    assert datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds) <= now
    assert now - datetime(1970, 1, 1, tzinfo=UTC) < timedelta(milliseconds=milliseconds + 1)


@given(instants, instants, entropy, entropy)
def test_ids_sort_by_time_to_the_microsecond(one: datetime, two: datetime, first: bytes, second: bytes) -> None:
    if one != two:
        assert (uuid7(one, first) < uuid7(two, second)) == (one < two)


@given(instants, entropy, entropy)
def test_randomness_tells_one_instants_ids_apart(now: datetime, first: bytes, second: bytes) -> None:
    mask = (1 << 62) - 1
    differ = int.from_bytes(first, "big") & mask != int.from_bytes(second, "big") & mask
    assert (uuid7(now, first) != uuid7(now, second)) == differ


def test_the_time_zone_does_not_matter_but_must_be_there() -> None:
    utc = datetime(2026, 11, 21, 9, tzinfo=UTC)
    dhaka = utc.astimezone(timezone(timedelta(hours=6)))
    assert uuid7(utc, bytes(10)) == uuid7(dhaka, bytes(10))
    with pytest.raises(ValueError, match="time zone"):
        uuid7(utc.replace(tzinfo=None), bytes(10))
    with pytest.raises(ValueError, match="10 bytes"):
        uuid7(utc, bytes(9))
    with pytest.raises(ValueError, match="outside the years"):
        uuid7(datetime(1969, 12, 31, tzinfo=UTC), bytes(10))


def test_new_ids_are_distinct_and_of_now() -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    made = {new_uuid7() for _ in range(1000)}
    assert len(made) == 1000
    for one in made:
        assert datetime.fromtimestamp((one.int >> 80) / 1000, UTC) >= before


@given(st.uuids())
def test_references_round_trip(some_id: UUID) -> None:
    assert parse_ref("call", call_ref(some_id)) == some_id
    assert parse_ref("agent", agent_ref(some_id)) == some_id
    assert re.fullmatch("call_[0-9a-f]{32}", call_ref(some_id))


@pytest.mark.parametrize("kind", ["call", "agent"])
@pytest.mark.parametrize(
    "text",
    ["", "call_", "0193f4a0111170008000" + "0" * 12, f"call_{TENANT}", f"call_{TENANT.hex.upper()}",
     f"call_{TENANT.hex}\n", f"CALL_{TENANT.hex}", f"call_call_{TENANT.hex}", f"call_{TENANT.hex}0",
     f"tenant_{TENANT.hex}", "call_" + "\uff10" * 32],
)  # fmt: skip
def test_other_texts_are_no_reference(kind: RefKind, text: str) -> None:
    with pytest.raises(ValueError, match=f"{kind} id: expected {kind}_ followed by 32"):
        parse_ref(kind, text)


def test_a_reference_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="agent id"):
        parse_ref("agent", call_ref(TENANT))


def test_a_lanes_name() -> None:
    name = lane_name("urgent", TENANT, "default-1")
    assert name == "dial.urgent.0193f4a01111700080000123456789ab.default-1"
    assert parse_lane(name) == Lane("urgent", TENANT, "default-1")


@given(st.sampled_from(PRIORITIES), st.uuids(), st.from_regex(r"[a-z0-9][a-z0-9-]{0,31}", fullmatch=True))
def test_lanes_round_trip(priority: str, tenant: UUID, route: str) -> None:
    lane = parse_lane(lane_name(priority, tenant, route))
    assert (lane.priority, lane.tenant_id, lane.route) == (priority, tenant, route)
    assert parse_lane(lane.name) == lane


@pytest.mark.parametrize("route", ["", "-a", "a.b", "A", "a b", "a\n", "a_b", "x" * 33, "a:b", "é"])
def test_routes_that_are_no_name(route: str) -> None:
    with pytest.raises(ValueError, match="route"):
        lane_name("normal", TENANT, route)
    with pytest.raises(ValueError, match="lane: expected"):
        parse_lane(f"dial.normal.{TENANT.hex}.{route}")


@pytest.mark.parametrize("priority", ["", "high", "URGENT", "urgent ", "urgent.bulk"])
def test_priorities_that_do_not_exist(priority: str) -> None:
    with pytest.raises(ValueError, match="priority"):
        lane_name(priority, TENANT, "default")
    with pytest.raises(ValueError, match="lane: expected"):
        parse_lane(f"dial.{priority}.{TENANT.hex}.default")


@pytest.mark.parametrize("name", ["", "default", "dial.urgent", f"dial.urgent.{TENANT}.a", f"call.urgent.{TENANT.hex}.a"])
def test_other_queues_are_no_lane(name: str) -> None:
    with pytest.raises(ValueError, match="lane: expected"):
        parse_lane(name)


@pytest.mark.parametrize("route", ["main", "o-net", "f-mobile"])
@pytest.mark.parametrize("marks", ["", ".c-spring.n-north.a-desk", ".a-f-team"])
@pytest.mark.parametrize("seats", ["", ".f-desk", ".o-desk"])
def test_a_call_that_comes_to_a_pool_keeps_the_rest_of_its_lane(route: str, marks: str, seats: str) -> None:
    rest = f"dial.normal.{TENANT.hex}.{route}{marks}"
    assert lane_with_pool(rest + seats, "o-sales") == f"{rest}.f-o-sales"
    assert lane_with_pool(rest + seats, None) == rest
    before, after = parse_lane(rest + seats), parse_lane(lane_with_pool(rest + seats, "sales"))
    assert after == replace(before, seats="sales", policy="reserved")


def test_a_call_that_came_in_is_counted_in_a_pool_as_well() -> None:
    assert lane_with_pool(inbound_lane(TENANT, "desk", "old"), "new") == inbound_lane(TENANT, "desk", "new")
    with pytest.raises(ValueError, match="pool"):
        lane_with_pool(inbound_lane(TENANT, None), "a.b")
