"""Every outcome of the lab carrier ends alike on the simulated switch and on a real FreeSWITCH."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from calls.ids import call_ref, new_uuid7
from calls.lifecycle import AttemptFacts, fold
from controller import commands, evidence
from controller.frames import Event

from .ends import ENDINGS, PDD_S, Ending, EndRow
from .world import NUMBER, World

#: s; the longest of all: 180 after 9 s, then an answer and a second of talk.
LONGEST_S = 30.0


@dataclass(frozen=True)
class Told:
    """What the switch told of one attempt, and what the carrier's socket got."""

    row: EndRow
    states: str
    retry: str
    invites: int


def told(events: list[Event], invites: int) -> Told:
    """The attempt as the controller would have it after these events."""
    seen = [item for event in events if isinstance(item := evidence.from_event(event), evidence.Evidence)]
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
        found = await asyncio.gather(*(dial(world, ending) for ending in ENDINGS.values()))
        wanted = {name: Told(e.row, e.states, e.retry, e.invites) for name, e in ENDINGS.items()}
        differ = {name: (got, wanted[name]) for name, got in zip(ENDINGS, found, strict=True) if got != wanted[name]}
        assert not differ, "\n".join(f"{name}: {got}\n    wanted {want}" for name, (got, want) in differ.items())

    run(body)
