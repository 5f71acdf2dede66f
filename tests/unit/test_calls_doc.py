"""docs/calls.md names every field of the call object, every status and every result of an action."""

from __future__ import annotations

import re
from pathlib import Path

from web.api.action_answers import ACTION_RESULTS
from web.api.call_answers import STATUSES, CallAnswer

TEXT = (Path(__file__).parents[2] / "docs" / "calls.md").read_text()


def test_every_field_status_and_result_is_told() -> None:
    told = set(re.findall(r"`([a-z0-9_]+)`", TEXT))
    fields = {field.data_key or name for name, field in CallAnswer().fields.items()}
    assert fields - told == set()
    assert set(STATUSES) - told == set()
    assert set(ACTION_RESULTS) - told == set()
