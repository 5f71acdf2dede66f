"""No part of a batch is so large, and no answer to it, that others would have to wait for it; nobody waits for a waiter."""

from __future__ import annotations

import gc
import json
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from calls.ids import agent_ref
from tests.web.conftest import FROM, TO, Api, World, named
from web import breath
from web.problems import Problem

MOST = 65_536


def send(api: Api, text: str) -> Any:
    return api.post("/v1/batches", data=text, content_type="application/json")


@pytest.mark.parametrize(
    ("text", "where", "code"),
    [
        ('{"defaults":{"metadata":{"a":[%s[]]}},"calls":[{}]}' % ("[]," * MOST), "/defaults", "too_large"),
        ('{"calls":[{},{"metadata":{"a":"%s"}}]}' % ("x" * MOST), "/calls/1", "too_large"),
        ('{"calls":[{"metadata":{"a":"%s"}}]}' % ("\u20ac" * (MOST // 3)), "/calls/0", "too_large"),
        ('{{"calls":[{{}}],{}"z":1}}'.format("".join(f'"{i:x}":1,' for i in range(MOST))), "/0", "unknown_field"),
        ('{"calls":[{}],"x":%s' % ("[" * MOST), "/x", "unknown_field"),
    ],
    ids=["defaults", "a row", "bytes", "strangers", "deep"],
)
def test_no_part_of_it_is_larger_than_a_single_call_may_be(api: Api, text: str, where: str, code: str) -> None:
    response = send(api, text)
    assert (response.status_code, named(response)) == (422, {where: code})


def test_what_is_as_large_as_may_be_is_read(api: Api) -> None:
    text = '{"calls":[{"metadata":{"a":"%s"}}]}' % ("x" * (MOST - len('{"metadata":{"a":""}}')))
    assert named(send(api, text))["/calls/0/metadata"] == "too_large", "by the bound of the field, not of the row"


def test_a_fault_of_the_text_is_told_where_it_is(api: Api) -> None:
    response = send(api, '{"calls":[{},\n{"a" 1}, "%s"]}' % ("x" * MOST))
    assert response.get_json()["detail"].endswith("at line 2, column 6.")


def _by_place(response: Any) -> list[dict[str, str]]:
    return sorted(response.get_json()["errors"], key=lambda error: error["pointer"])


@pytest.mark.parametrize("good", [True, False])
def test_faults_are_told_in_bounds(api: Api, world: World, good: bool) -> None:
    bad = {f"field{i}": 1 for i in range(40)}
    right = {"to": TO, "from": FROM, "agent_id": agent_ref(world.our_agent.id)}
    body = json.dumps({"calls": [*([right] if good else []), *[bad] * 200]})
    response = send(api, body)
    if not good:
        errors = response.get_json()["errors"]
        assert (response.status_code, len(errors), errors[-1]["code"]) == (422, 501, "more_faults")
        return
    assert response.status_code == 202
    rows = response.get_json()["calls"][1:]
    assert all(row["errors"][-1]["code"] == "more_faults" for row in rows)
    assert "and 30 more" in rows[0]["errors"][-1]["detail"]
    assert (len(rows[0]["errors"]), len(rows[-1]["errors"])) == (11, 2)


def test_what_cannot_be_had_yet_is_told_as_of_a_single_call(api: Api, order: Callable[..., dict[str, Any]]) -> None:
    asked = order(number_pool_id="x", screening={})
    single = _by_place(api.post("/v1/calls", asked))
    row = _by_place(send(api, json.dumps({"calls": [asked]})))
    assert {error["code"] for error in single} == {"not_supported_yet"}
    assert row == [{**error, "pointer": "/calls/0" + error["pointer"]} for error in single]


def test_a_poll_that_waits_is_nobodys_load(api: Api, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    ends: set[object] = set()
    sleep = time.sleep

    def look(seconds: float) -> None:
        seen.append(breath._under_way)
        with world.database.connection() as conn:
            ends.add(conn.execute("SELECT max(listens_until) FROM webhook_endpoints").fetchone())
        sleep(seconds)

    listener = api.post("/v1/webhook_listeners", {}).get_json()["id"]
    monkeypatch.setattr("web.api.webhook_listeners.time.sleep", look)
    assert api.post(f"/v1/webhook_listeners/{listener}/poll", {"wait_s": 1}).get_json() == {"data": []}
    assert len(seen) >= 2
    assert set(seen) == {0}
    assert breath._under_way == 0
    assert len(ends) == 1, "that it listens is written once a poll"


@pytest.mark.parametrize(("path", "counted"), [("/internal/cdr", 0), ("/v1/calls", 1)])
def test_for_a_report_of_a_switch_no_batch_rests(api: Api, path: str, counted: int) -> None:
    with api.app.test_request_context(path, method="POST"):
        with suppress(Problem):  # it shows no key, and was counted before that was seen
            api.app.preprocess_request()
        assert breath._under_way == counted
    assert breath._under_way == 0


def test_what_batches_leave_is_collected_though_there_is_always_one_under_way() -> None:
    class Cycle:
        pass

    assert gc.isenabled()
    with breath.uncollected():
        one = Cycle()
        one.itself = one  # type: ignore[attr-defined]
        left = weakref.ref(one)
        del one
        for _ in range(breath.COLLECT_EVERY):
            assert left() is not None
            with breath.uncollected():
                pass
        assert left() is None
    assert gc.isenabled()
