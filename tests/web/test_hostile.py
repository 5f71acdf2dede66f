"""Hostile values: what the API takes reaches the switch as one command each, or not at all (the whole: bench/hostile.py)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from bench import hostile
from bench._hostile import Unreadable, Values, frames, shape
from calls.ids import call_ref, parse_ref
from controller import commands
from store import calls
from tests.web.conftest import FROM, TO, Api, World

Order = Callable[..., dict[str, Any]]


def test_no_value_becomes_a_second_command_or_header() -> None:
    tally = hostile.play(1_500, seed=5)
    assert tally.wrong == []
    # Else nothing was tried: values go on where they are good, and each builder wrote something.
    assert tally.accepted_by_api > 40
    assert tally.refused_by_builders > 1_000
    assert len({command.kind for command, _ in tally.written}) > 20


GOOD_DIAL: dict[str, Any] = {
    **{name: hostile.GOOD[name] for name in ("attempt_id", "call_ref", "tenant", "gateway", "to_number", "from_number")},
    **{name: hostile.GOOD[name] for name in ("originate_timeout_s", "max_duration_s", "fork_url")},
}
GOOD = commands.originate(**GOOD_DIAL).wire
PLANTED = {
    "a second command": GOOD.replace(b"acme,", b"acme\n\napi system id\n\n,"),
    "one behind carriage returns": GOOD.replace(b"acme,", b"acme\r\rapi system id,"),
    "a header": GOOD.replace(b"\n\n", b"\nContent-Length: 9\n\n"),
    "a variable": GOOD.replace(b"acme,", b"acme,api_on_originate=x,"),
    "a second block": GOOD.replace(b"}sofia", b"}{x=y}sofia"),
    "a second leg": GOOD.replace(b" &park", b"|sofia/gateway/x/1900 &park"),
    "another application": GOOD.replace(b"&park()", b"&system(id)"),
    "a word more": GOOD.replace(b"&park()", b"&park() inline"),
    "something to expand": GOOD.replace(b"acme,", b"${x},"),
    "a quote that does not end": GOOD.replace(b"acme,", b"'acme,"),
    "half a command": GOOD[:-1],
}


@pytest.mark.parametrize("what", PLANTED)
def test_the_reader_sees_what_is_planted(what: str) -> None:
    (right,) = frames(GOOD)
    try:
        seen = [shape(frame) for frame in frames(PLANTED[what])]
    except Unreadable:
        return
    assert seen != [shape(right)]


def test_what_was_accepted_by_http_and_kept_is_dialed_in_the_same_words(api: Api, world: World, order: Order) -> None:
    made, kept = Values(7), 0
    (right,) = frames(GOOD)
    for number in range(160):
        change: dict[str, Any] = [
            {"to": made.near(TO)},
            {"from": made.near(FROM)},
            {"metadata": made.nested("word")},
            {"agent_variables": {"word": made.nested("word")}},
            {"client_reference": made.near("word")},
            {"webhook_url": made.near("https://example.com/hook")},
            {"agent_id": made.near(order()["agent_id"])},
            {},
        ][number % 8]
        key = made.near("key") if number % 8 == 7 else f"hostile-{number}"
        answer = api.post(
            "/v1/calls",
            data=json.dumps(order(**change)),
            content_type="application/json",
            environ_overrides={"HTTP_IDEMPOTENCY_KEY": key},
        )
        assert answer.status_code in (202, 400, 409, 413, 422), answer.get_data()
        if answer.status_code != 202:
            continue
        kept += 1
        call = calls.get_call(world.database, world.ours.id, parse_ref("call", answer.get_json()["id"]))
        assert call is not None
        whose = {"call_ref": call_ref(call.id), "to_number": call.to_number, "from_number": call.from_number}
        dialed = commands.originate(**{**GOOD_DIAL, **whose, "max_duration_s": call.max_duration_s})
        assert [shape(frame) for frame in frames(dialed.wire)] == [shape(right)]
        assert (call.to_number, call.from_number) == (TO, FROM) or "to" in change or "from" in change
    assert kept > 20
