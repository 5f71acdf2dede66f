"""The demo dials only numbers that the API takes, that belong to nobody, and that do what they are meant to do."""

from __future__ import annotations

import random
import re
from collections import Counter

import pytest

from calls.numbers import parse_caller_id, parse_destination
from lab.carrier.outcomes import BY_NAME, MAGIC
from trunkline.demo_plan import FATES, QUIET, plan

FICTIONAL = re.compile(r"[+]1[2-9][0-9]{2}55501[0-9]{2}|[+]442079460[0-9]{3}|[+]493023125[0-9]{3}")


@pytest.mark.parametrize("count", [1, QUIET, 120, 500])
def test_every_number_is_dialable_and_fictional(count: int) -> None:
    planned = plan(count, 3, random.Random(count))
    assert len(planned) == count
    for call in planned:
        assert parse_destination(call.to).e164 == call.to
        assert FICTIONAL.fullmatch(call.to)
        parse_caller_id(call.from_)


def test_the_carrier_knows_every_fate() -> None:
    assert {fate for fate, _ in FATES} - {""} <= set(MAGIC)


def test_120_calls_are_a_mix_dealt_evenly() -> None:
    planned = plan(120, 3, random.Random(1))
    fates = Counter(MAGIC[call.to[-4:]].name if call.to[-4:] in MAGIC else "" for call in planned)
    assert fates[""] >= 60
    assert {"busy", "no_answer", "unknown_number", "fault"} <= set(fates) - {""} <= set(BY_NAME)
    assert Counter(call.account for call in planned) == {0: 40, 1: 40, 2: 40}
    assert all(call.to[-4:] not in MAGIC for call in planned[:QUIET])


def test_the_same_seed_is_the_same_day() -> None:
    assert plan(50, 3, random.Random(7)) == plan(50, 3, random.Random(7))
