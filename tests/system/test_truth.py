"""The judge of the system tests can find fault: each way in which the API and the carrier may differ is seen."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest

from tests.system.truth import Allowed, Leg, broken_limits, differences, legs, strangers

NUMBER = "+14152200109"
S = 1_000_000_000


def call(**attempt: object) -> dict[str, Any]:
    """A call the callee ended, with changes to its one attempt."""
    told: dict[str, Any] = {
        "id": "a1",
        "state": "ended",
        "outcome": "completed",
        "end_reason": "hangup",
        "hangup_by": "callee",
        "dialed_at": "2026-01-01T00:00:00Z",
        "uncertain": False,
        **attempt,
    }
    return {
        "id": "call_1",
        "to": NUMBER,
        "status": told["outcome"],
        "end_reason": told["end_reason"],
        "attempts": [told],
    }


def leg(**changes: object) -> dict[str, Leg]:
    """What the carrier saw of that call, with changes."""
    facts: dict[str, Any] = {
        "number": NUMBER,
        "invites": 1,
        "rang_at": S,
        "answered_at": 2 * S,
        "ended_at": 3 * S,
        "why": "bye sent",
    }
    return {"a1": Leg("a1", "lab_a", invited_at=0, **{**facts, **changes})}


def refused(code: int, **changes: object) -> dict[str, Leg]:
    return leg(answered_at=None, refused=code, why=f"final {code}", **changes)


NOT_SENT = {"outcome": "failed", "end_reason": "not_sent", "hangup_by": None}
LOST = {"outcome": "failed", "end_reason": "lost", "hangup_by": None}
BUSY = {"outcome": "busy", "end_reason": "busy"}
FAULT = {"outcome": "failed", "end_reason": "carrier_fault"}
FULL = {"outcome": "failed", "end_reason": "carrier_capacity"}
NO_ANSWER = {"outcome": "no_answer", "end_reason": "no_answer"}


@pytest.mark.parametrize(
    ("told", "seen"),
    [
        (call(), leg()),
        (call(**BUSY), refused(486)),
        (call(**FAULT), refused(503)),
        (call(**FULL), refused(503, phrase="CPS limit exceeded")),
        (call(outcome="no_answer", end_reason="unavailable"), refused(480)),
        (call(**NO_ANSWER), refused(487, canceled=True)),
        (call(**NOT_SENT), {}),
        (call(hangup_by="agent"), leg(why="bye received", bye=True)),
        (call(hangup_by="agent"), leg(bye=True)),  # both hung up at once
        (call(outcome="canceled", end_reason="canceled", uncertain=True), leg(canceled=True)),  # 200 and CANCEL crossed
        (call(outcome="canceled", end_reason="canceled", dialed_at=None), {}),
    ],
)
def test_what_agrees_is_no_fault(told: dict[str, Any], seen: dict[str, Leg]) -> None:
    assert differences([told], seen, Allowed()) == []
    assert strangers(seen, [told]) == []


@pytest.mark.parametrize(
    ("told", "seen", "complaint"),
    [
        (call(), {}, "completed without an INVITE"),
        (call(), refused(486), "never answered"),
        (call(**LOST), leg(), "was answered"),
        (call(**LOST), refused(486), "said 486"),
        (call(**BUSY), refused(404), "said 404"),
        (call(**FAULT), refused(503, phrase="CPS limit exceeded"), "said 503"),
        (call(**FULL), refused(503), "said 503"),
        (call(**NO_ANSWER), refused(487), "said 487"),
        (call(**NO_ANSWER), refused(480), "said 480"),
        (call(**BUSY), {}, "no INVITE"),
        (call(**LOST), {}, "no INVITE"),
        (call(**NOT_SENT), leg(), "said to be unsent"),
        (call(dialed_at=None, **BUSY), refused(486), "said to be unsent"),
        (call(), leg(invites=2), "2 INVITEs"),
        (call(), leg(number="+14152210109"), "another call's number"),
        (call(state="in_progress"), leg(), "not ended"),
        (call(hangup_by="agent"), leg(), "the callee hung up"),
        (call(), leg(why="bye received", bye=True), "we hung up"),
        (
            call(outcome="failed", end_reason="agent_unavailable"),
            refused(487),
            "487",
        ),
        (call(**LOST), leg(answered_at=None, ended_at=None), "the carrier still has it"),
    ],
)
def test_what_differs_is_named(told: dict[str, Any], seen: dict[str, Leg], complaint: str) -> None:
    assert complaint in "\n".join(differences([told], seen, Allowed()))


def test_unknown_ends_are_allowed_only_where_events_were_lost() -> None:
    for seen in (leg(), refused(486), {}):
        assert differences([call(**LOST)], seen, Allowed(unseen=True)) == []
    assert differences([call(**BUSY)], leg(), Allowed(unseen=True)), "a wrong end is no unknown one"
    assert differences([call()], {}, Allowed(unseen=True)), "completed without an INVITE"
    assert differences([call(**NOT_SENT)], leg(), Allowed(unseen=True)), "said to be unsent"


def test_a_call_that_tells_another_end_than_its_last_attempt_is_found() -> None:
    assert differences([{**call(), "status": "failed"}], leg(), Allowed())


def test_strangers_are_found() -> None:
    two = {**leg(), "b2": Leg("b2", "lab_a", NUMBER, 0, invites=1)}
    assert any("b2" in text for text in strangers(two, [call()]))
    assert "2 INVITEs for 1 attempts" in "\n".join(strangers(leg(invites=2), [call()]))


def arrivals(path: pathlib.Path, *records: dict[str, object]) -> pathlib.Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def invite(at: int, call_id: str, verdict: str = "admitted") -> dict[str, object]:
    return {"t": at, "k": "invite", "call_id": call_id, "number": NUMBER, "verdict": verdict, "outcome": "busy"}


def test_broken_limits_are_told_with_what_arrived(tmp_path: pathlib.Path) -> None:
    log = arrivals(tmp_path / "a.jsonl", *(invite(n * S // 4, f"call-{n}") for n in range(4)))
    assert broken_limits(log, cps=4, channels=4) == []
    told = "\n".join(broken_limits(log, cps=3, channels=3))
    assert "4 INVITEs within 1 s, allowed 3" in told
    assert "4 channels at once, allowed 3" in told
    assert "00:00.750000/call-3" in told
    assert broken_limits(log, cps=3, channels=3, since_ns=S // 4) == []
    assert broken_limits(arrivals(tmp_path / "b.jsonl", invite(0, "x", "cps")), cps=5, channels=5)


def test_a_log_becomes_legs(tmp_path: pathlib.Path) -> None:
    about = {"call_id": "a1", "number": NUMBER}
    log = arrivals(
        tmp_path / "lab_a.jsonl",
        {"t": 0, "k": "start", "carrier": "lab_a"},
        invite(1, "a1"),
        {"t": 2, "k": "retransmit", **about},
        {"t": 3, "k": "progress", "status": 180, **about},
        {"t": 4, "k": "answer", "status": 200, **about},
        {"t": 5, "k": "bye", **about},
        {"t": 5, "k": "end", "why": "bye received", **about},
    )
    (seen,) = legs(log).values()
    assert (seen.invites, seen.rang_at, seen.answered_at, seen.ended_at) == (1, 3, 4, 5)
    assert (seen.bye, seen.why, seen.refused, seen.rings, seen.talks) == (True, "bye received", None, False, False)
