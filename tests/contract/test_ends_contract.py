"""Every outcome of the lab carrier ends alike on the simulated switch and on a real FreeSWITCH."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import pytest

from calls.evidence import Evidence
from calls.ids import call_ref, new_uuid7
from calls.lifecycle import AttemptFacts, fold
from controller import commands, evidence
from controller.frames import Event
from lab.carrier.outcomes import MAGIC, TRYING, Outcome, Step, refusal

from .codes import CODES
from .ends import ENDINGS, PDD_S, Ending, EndRow
from .world import NUMBER, World

LONGEST_S = 30.0
#: The late ring comes within the time that a silent carrier takes anyway.
SOONER = {**MAGIC, "0111": Outcome("late_ringing", (TRYING, Step(4.0, 180, "Ringing"), Step(4.4, 200, "OK", media=True)))}


@dataclass(frozen=True)
class Told:
    """What the switch told of one attempt, and what the carrier's socket got."""

    row: EndRow
    states: str
    retry: str
    invites: int


def told(events: list[Event], invites: int) -> Told:
    """The attempt as the controller would have it after these events."""
    seen = [item for event in events if isinstance(item := evidence.from_event(event), Evidence)]
    facts = fold(AttemptFacts(), seen)
    verdict = facts.verdict
    assert verdict is not None, "no end was told"
    states = " ".join(dict.fromkeys(item.state.value for item in seen))
    row = (verdict.outcome.value, facts.sip_code, verdict.end_reason, facts.q850_cause, verdict.hangup_by)
    return Told(row, states, verdict.retry_class.value, invites)


async def dial(world: World, ending: Ending) -> Told:
    """One attempt by the controller's own command."""
    attempt = new_uuid7()
    command = commands.originate(
        attempt_id=attempt, call_ref=call_ref(UUID(int=attempt.int)), tenant="acme", gateway="carrier_a",
        to_number=f"{NUMBER}{ending.digits}", from_number="+14155550100",
        originate_timeout_s=PDD_S + ending.ring_s, max_duration_s=ending.longest_s,
    )  # fmt: skip
    await world.esl.command(commands.wire(command).decode().removesuffix("\n\n"))
    await world.esl.event("CHANNEL_HANGUP_COMPLETE", str(attempt), LONGEST_S)
    mine = [event for event in world.esl.events if event.get("Unique-ID") == str(attempt)]
    transactions = {(r["cseq"], r["branch"], r["uri"]) for r in world.arrivals(str(attempt), "invite")}
    return told(mine, len(transactions))


def test_every_outcome_ends_as_the_table_says(run: Callable[..., None]) -> None:
    """All at once: they do not touch each other."""

    async def body(world: World) -> None:
        world.carrier.config.mix.numbers = SOONER
        found = await asyncio.gather(*(dial(world, ending) for ending in ENDINGS.values()))
        wanted = {name: Told(e.row, e.states, e.retry, e.invites) for name, e in ENDINGS.items()}
        differ = {name: (got, wanted[name]) for name, got in zip(ENDINGS, found, strict=True) if got != wanted[name]}
        assert not differ, "\n".join(f"{name}: {got}\n    wanted {want}" for name, (got, want) in differ.items())

    run(body)


async def refused(world: World, outcome: Outcome, digits: str) -> AttemptFacts:
    """What becomes of an attempt that meets this refusal."""
    channel = await world.esl.originate(f"{NUMBER}{digits}", sofia_session_timeout="0")
    event = await world.esl.event("CHANNEL_HANGUP_COMPLETE", channel, LONGEST_S)
    assert next(r["outcome"] for r in world.arrivals(channel, "invite")) == outcome.name
    found = evidence.from_event(event)
    assert isinstance(found, Evidence)
    return fold(AttemptFacts(), [found])


def test_every_final_code_is_told_alike(run: Callable[..., None]) -> None:
    async def body(world: World) -> None:
        numbers = {f"{code:04d}": refusal(code, f"Words of {code}") for code in CODES}
        world.carrier.config.mix.numbers = numbers
        found: dict[int, tuple[str | None, int | None]] = {}
        words: dict[int, str | None] = {}
        every = await asyncio.gather(*(refused(world, outcome, digits) for digits, outcome in numbers.items()))
        for digits, facts in zip(numbers, every, strict=True):
            assert facts.sip_code == int(digits), digits
            found[int(digits)], words[int(digits)] = (facts.cause, facts.q850_cause), facts.sip_phrase
        assert found == CODES
        # Of a redirect and of a challenge the switch keeps the code alone.
        silent = {code for code, phrase in words.items() if phrase is None}
        assert silent == {300, 301, 302, 305, 380, 401, 407}
        assert all(phrase == f"Words of {code}" for code, phrase in words.items() if code not in silent)

    run(body)


@pytest.mark.parametrize(
    ("name", "outcome", "cause", "q850", "code", "reason"),
    [
        # The carrier's Reason goes before the code: a full trunk that says so nowhere else.
        ("34", refusal(503, "Service Unavailable", ("Reason", "Q.850;cause=34")), "NORMAL_CIRCUIT_CONGESTION", 34, 503,
         "carrier_capacity"),
        ("42", refusal(503, "Service Unavailable", ("Reason", "Q.850 ;cause=42 ;text=x")), "SWITCH_CONGESTION", 42, 503,
         "carrier_capacity"),
        ("other protocol", refusal(603, "Decline", ("Reason", "SIP;cause=608")), "CALL_REJECTED", 21, 603, "declined"),
        ("nothing", refusal(500, "Server Error", ("Reason", "Q.850;cause=0")), "NORMAL_TEMPORARY_FAILURE", 41, 500,
         "carrier_fault"),
        ("603+", refusal(603, "Network Blocked", ("Reason", 'Q.850;cause=21;text="v=analytics1";location=TN')),
         "CALL_REJECTED", 21, 603, "carrier_block"),
        # Wrong credentials: the challenge comes again after its answer, and the stack gives up with a code of its own.
        ("credentials", refusal(407, "Who?", ("Proxy-Authenticate", 'Digest realm="x", nonce="n", algorithm=MD5')),
         "NORMAL_UNSPECIFIED", 31, 407, "carrier_account"),
    ],
)  # fmt: skip
def test_what_else_an_answer_says(
    run: Callable[..., None], name: str, outcome: Outcome, cause: str, q850: int, code: int, reason: str
) -> None:
    async def body(world: World) -> None:
        world.carrier.config.mix.numbers = {"0999": outcome}
        facts = await refused(world, outcome, "0999")
        assert (facts.cause, facts.q850_cause, facts.sip_code, facts.end_reason) == (cause, q850, code, reason), name

    run(body)


@pytest.mark.parametrize(("asked", "invites"), [("0", 1), ("", 2)])
def test_an_invite_that_asks_for_no_session_timer_meets_no_422(run: Callable[..., None], asked: str, invites: int) -> None:
    """Why the originate says so: else the stack answers 422 with another INVITE, which no limit knows of."""

    async def body(world: World) -> None:
        given = {"sofia_session_timeout": asked} if asked else {}
        channel = await world.esl.originate(f"{NUMBER}0129", **given)
        await world.esl.event("CHANNEL_HANGUP_COMPLETE", channel, LONGEST_S)
        assert len(world.arrivals(channel, "invite")) == invites

    run(body)
