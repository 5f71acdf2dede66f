"""What the switch's replies mean where a reply is large: read row by row, and nonsense is told."""

from __future__ import annotations

import json

import pytest

from controller import esl_replies
from controller.esl_replies import ReplyError
from tests.contract.tracefile import TRACES, Reply, read_trace

ROWS = [{"uuid": str(number), "presence_data": 'call_"]}, {'} for number in range(3)]


def listing(rows: object) -> str:
    return json.dumps({"row_count": 3, "rows": rows}, separators=(",", ":"))


def test_row_by_row_is_the_same_as_at_once() -> None:
    recorded = [
        entry.body
        for entry in read_trace(TRACES / "duplicate_uuid_and_queries.txt")
        if isinstance(entry, Reply) and entry.body.startswith('{"row_count":') and '"presence_data"' in entry.body
    ]
    assert recorded
    spaced = json.dumps({"row_count": 3, "rows": ROWS})
    for reply in (*recorded, listing(ROWS), listing([]), spaced, '{"row_count":0}'):
        assert list(esl_replies.each_channel(reply)) == esl_replies.channels(reply)


@pytest.mark.parametrize("cut", [30, -1, -2, -9])
def test_half_a_list_is_no_list(cut: int) -> None:
    with pytest.raises(ReplyError):
        list(esl_replies.each_channel(listing(ROWS)[:cut]))


@pytest.mark.parametrize("rows", [[1], "no", [["x"]]])
def test_what_is_no_row_is_told(rows: object) -> None:
    with pytest.raises(ReplyError):
        list(esl_replies.each_channel(listing(rows)))
