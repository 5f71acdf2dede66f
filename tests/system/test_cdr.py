"""The second witness: where the switch's events are lost, its CDRs tell the true end; where the API is away too, later."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest

from controller import commands
from store import witnesses
from tests.system.conftest import CHECKOUT
from tests.system.house import PATIENCE_S, House
from tests.system.truth import Allowed
from trunkline.children import wait_until
from trunkline.given_switch import GivenSwitch
from trunkline.stack import LabCarrier, Route, Stack

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

#: answered and hung up by the callee, soon or after 3 s; busy; not found; a full trunk.
TALKS, TALKS_LONG, BUSY, NOT_FOUND, FULL = "0110", "0109", "0101", "0104", "0117"
#: s; what only an event or the CDR can tell is concluded without either after this and two rounds.
RECONCILE_S = 3


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack(
        CHECKOUT,
        [LabCarrier("lab_a", 20, 10)],
        [Route("all", ("",), ("lab_a",))],
        environ={"TRUNKLINE_RECONCILE_INTERVAL_S": str(RECONCILE_S), "TRUNKLINE_CDR_SPOOL_INTERVAL_S": "0.3"},
        private=True,
    ) as running:
        yield running


@pytest.fixture(scope="module")
def house(stack: Stack) -> House:
    return House(stack)


@pytest.fixture
def deaf(lab: Callable[[str], str]) -> Iterator[Callable[[], None]]:
    """``deaf()``: from now on nobody hears an event of the switch, until the test is over."""
    yield lambda: _ok(lab("fault drop_events 1"))
    _ok(lab("fault clear"))


def _ok(said: str) -> None:
    assert said == "+OK"


def sources(house: House, call: str) -> list[str]:
    """Who told of the end, in the order in which it became known."""
    events = house.api.get(f"/v1/calls/{call}/events").body["data"]
    return [event["source"] for event in events if event["type"] == "attempt.ended"]


def ended(house: House, call: str) -> dict[str, Any]:
    """The end of a call of one attempt, and whose word it rests on."""
    house.wait_ended([call])
    seen = house.see(call)
    (attempt,) = seen["attempts"]
    return {name: seen[name] for name in ("status", "end_reason", "sip_code")} | {"evidence": attempt["evidence"]}


def has_tombstone(stack: Stack, attempt: str) -> bool:
    door = GivenSwitch((stack.esl_host, stack.esl_port), stack.esl_password, {})
    said = door.ask(commands.hash_select(stack.settings.tombstone_realm, UUID(attempt))).strip()
    assert said.isdigit() or said == "-ERR no reply", said
    return said.isdigit()


def test_both_tell_of_each_end_and_agree(house: House) -> None:
    before = witnesses.totals(house.stack.db)
    ids = [house.post(ending) for ending in (TALKS, BUSY, NOT_FOUND)]
    house.wait_ended(ids)
    for call in ids:
        wait_until("both witnesses", lambda call=call: set(sources(house, call)) == {"event", "cdr"}, timeout_s=PATIENCE_S)
        assert [attempt["evidence"] for attempt in house.see(call)["attempts"]] == ["event"]
    assert house.differences(ids) == []
    assert witnesses.totals(house.stack.db) == before


def test_with_the_events_lost_the_cdr_ends_the_call_truly(house: House, deaf: Callable[[], None]) -> None:
    """Reconcile could only say `lost`; what each call held comes back all the same."""
    deaf()
    ids = {ending: house.post(ending) for ending in (BUSY, NOT_FOUND, TALKS)}
    assert ended(house, ids[BUSY]) == {"status": "busy", "end_reason": "busy", "sip_code": 486, "evidence": "cdr"}
    assert ended(house, ids[NOT_FOUND])["end_reason"] == "bad_number"
    assert ended(house, ids[TALKS]) == {"status": "completed", "end_reason": "hangup", "sip_code": 200, "evidence": "cdr"}
    assert [sources(house, call) for call in ids.values()] == [["cdr"]] * 3
    seen = [house.see(call) for call in ids.values()]
    assert [call["hangup_by"] for call in seen][-1] == "callee"
    assert seen[-1]["answered_at"] < seen[-1]["ended_at"]
    assert house.differences(list(ids.values())) == []
    house.wait_nothing_held()
    for call in seen:
        attempt = call["attempts"][0]["id"]
        wait_until("its tombstone to go", lambda a=attempt: not has_tombstone(house.stack, a), timeout_s=PATIENCE_S)


def test_a_retry_is_decided_on_the_word_of_the_cdr(house: House, deaf: Callable[[], None]) -> None:
    deaf()
    call = house.post(FULL, max_attempts=1)

    def tried_again() -> bool:
        return len(house.see(call)["attempts"]) > 1

    wait_until("a second attempt", tried_again, timeout_s=PATIENCE_S)
    first = house.see(call)["attempts"][0]
    assert (first["evidence"], first["sip_code"], first["end_reason"]) == ("cdr", 503, "carrier_capacity")
    house.hang_up(call)
    house.wait_ended([call])


def test_with_the_api_away_as_well_the_record_is_shipped_later(house: House, deaf: Callable[[], None]) -> None:
    """Until then reconcile knows only that the talk is over; the record corrects it."""
    stack = house.stack
    call = house.post(TALKS_LONG)
    house.wait(call, "in_progress")
    (attempt,) = (one["id"] for one in house.see(call)["attempts"])
    file = stack.spools / "fs1" / f"{attempt}.cdr.json"
    deaf()
    stack.supervisor.kill("web")
    try:
        wait_until("the record in the spool", file.exists, timeout_s=PATIENCE_S)
    finally:
        stack.supervisor.wait_gone("web", 10)
        stack.supervisor.start("web")
    wait_until("the file to be removed", lambda: not file.exists(), timeout_s=PATIENCE_S)
    assert ended(house, call) == {"status": "completed", "end_reason": "hangup", "sip_code": 200, "evidence": "cdr"}
    assert sources(house, call)[-1] == "cdr"
    assert house.differences([call]) == []
    house.wait_nothing_held()
    assert not _left(stack.spools)


def _left(spools: pathlib.Path) -> list[str]:
    return [str(path) for path in spools.rglob("*") if path.is_file()]


def test_some_events_and_some_records_lost_at_once_never_tell_a_wrong_end(house: House, lab: Callable[[str], str]) -> None:
    _ok(lab("fault drop_events 0.3"))
    _ok(lab("fault drop_cdrs 0.3"))
    try:
        ids = [house.post(ending) for ending in (BUSY, NOT_FOUND, "0110", "0103") for _ in range(3)]
        house.wait_ended(ids)
    finally:
        _ok(lab("fault clear"))
    assert house.differences(ids, Allowed(unseen=True)) == []
    told = [attempt["evidence"] for call in ids for attempt in house.see(call)["attempts"]]
    assert {"event", "cdr"} <= set(told)
    house.wait_nothing_held()
    assert witnesses.totals(house.stack.db).contradictions == 0
