"""What of an agent's voice counts as heard: no more, and no less, than the switch took."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agents.reference.sound import tone
from tests.relay.house import ScriptedAgent, house, run, talking, until


def test_what_was_heard_just_before_a_barge_in_was_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what was not looked for since."""
    monkeypatch.setattr("controller.relay.beat.BEAT_S", 600.0)

    async def scenario() -> None:
        async with house(tmp_path) as h, ScriptedAgent().listening() as agent:
            attempt, call = await talking(h, agent)
            said = tone(700, 6400 // 16)
            await call.say(said)
            await until(lambda: said[:960] in h.heard(attempt), "the agent is heard")
            assert "relay.first_audio" not in h.book.types(), "nobody has looked"
            await call.send("clear")
            await until(lambda: "relay.first_audio" in h.book.types(), "it is known")
            h.phones[attempt].hangup("NORMAL_CLEARING")
            await h.gone(attempt)

    run(scenario())


def test_marks_in_what_the_switch_threw_away_are_not_said_to_be_played(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with house(tmp_path, relay_ahead_ms=400) as h, ScriptedAgent().listening() as agent:
            attempt, call = await talking(h, agent)
            pieces = [number.to_bytes(2, "little") * 480 for number in range(1, 51)]  # of 60 ms
            for number, piece in enumerate(pieces):
                await call.say(piece)
                await call.send("mark", name=str(number))
            await until(lambda: pieces[5] in h.heard(attempt), "the agent is heard")
            (bug,) = h.phones[attempt].displaced.values()
            bug.stop()  # as by another's uuid_displace
            marks = await until(lambda: (seen := call.seen("mark"))[49:] and seen, "all of them")
            played = [mark["played"] for mark in marks]
            assert [mark["name"] for mark in marks] == [str(number) for number in range(50)]
            heard = h.heard(attempt)
            frames = [heard[at : at + 320] for at in range(0, len(heard), 320)]
            whole = [frames.count(piece[:320]) for piece in pieces]
            # Of one, the first frames may be among what was thrown away, and the rest not; of one, the last is perhaps lost.
            assert all(count for count, said in zip(whole, played, strict=True) if said)
            assert sum(count < 3 for count, said in zip(whole, played, strict=True) if said) <= 2
            assert 3 <= played.count(False) < 25
            talk: Any = h.relay.desk._sessions[attempt].talk
            talk._downlink._lost([None])  # of hangup after_playback
            assert (await call.expect("stop"))["reason"] == "agent_hangup"
            await h.gone(attempt)

    run(scenario())
