"""Every recording of a real FreeSWITCH against the simulated one: same commands, same structure of what is said."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from .compare import body_of, channels, differences, lifecycle, racing, reply_shape, step
from .replay import Recording, replay
from .scenarios import SCENARIOS
from .tracefile import Item, Reply, TraceEvent, events, read_trace, trace_files, websocket_trace

FILES = trace_files()


def test_every_recording_has_a_scenario_and_every_scenario_a_recording() -> None:
    assert {path.stem for path in FILES} == set(SCENARIOS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_simulated_switch_says_what_the_real_one_said(path: Path, tmp_path: Path) -> None:
    trace = read_trace(path)
    mine = asyncio.run(replay(trace, SCENARIOS[path.stem], tmp_path))
    found = [
        *compare_replies(trace, mine.items),
        *compare_channels(trace, mine.items),
        *compare_others(trace, mine.items),
        *compare_websocket(path, mine),
    ]
    assert not found, "\n".join(found)


def compare_replies(trace: list[Item], mine: list[Item]) -> list[str]:
    """Replies come in the order of the commands, each with the same words and the same form of body."""
    theirs = [item for item in trace if isinstance(item, Reply)]
    ours = [item for item in mine if isinstance(item, Reply)]
    found = []
    for number, (real, here) in enumerate(zip(theirs, ours, strict=False)):
        one, two = reply_shape(real), reply_shape(here)
        if one != two:
            found.append(
                f"reply {number}: {[w for w in one if w not in two]} there, {[w for w in two if w not in one]} here"
            )
    if len(theirs) != len(ours):
        found.append(f"{len(theirs)} replies there, {len(ours)} here")
    return found


def compare_channels(trace: list[Item], mine: list[Item]) -> list[str]:
    """Per channel: the same events in the same order, each with the same headers and the stable values."""
    found: list[str] = []
    if set(channels(trace)) != set(channels(mine)):
        found.append(f"channels {sorted(channels(trace))} there, {sorted(channels(mine))} here")
    for channel in channels(trace):
        theirs, ours = lifecycle(trace, channel), lifecycle(mine, channel)
        for number, (real, here) in enumerate(zip(theirs, ours, strict=False)):
            if step(real) != step(here):
                wrong = [f"{a!r} there, {b!r} here" for a, b in zip(step(real), step(here), strict=True) if a != b]
                found.append(f"{channel[:8]} event {number} {real.name}: {'; '.join(wrong)}")
            else:
                found += [f"{channel[:8]} event {number} {real.name}: {text}" for text in differences(real, here)]
        if len(theirs) != len(ours):
            found.append(f"{channel[:8]}: {[e.name for e in theirs]} there, {[e.name for e in ours]} here")
    return found


def compare_others(trace: list[Item], mine: list[Item]) -> list[str]:
    """Jobs, audio fork, media bugs: the same set, with the same bodies; a heartbeat with the same headers."""
    found: list[str] = []
    theirs, ours = racing(trace), racing(mine)
    names = [(e.name, e.get("Event-Subclass")) for e in theirs], [(e.name, e.get("Event-Subclass")) for e in ours]
    if names[0] != names[1]:
        return [f"{names[0]} there, {names[1]} here"]
    for real, here in zip(theirs, ours, strict=True):
        label = f"{real.name} {real.get('Event-Subclass')}"
        found += [f"{label}: {text}" for text in differences(real, here) if not _raced(real, text)]
        if body_of(real) != body_of(here):
            found.append(f"{label}: body {body_of(real)!r} there, {body_of(here)!r} here")
    beats = [e for e in events(trace) if e.name == "HEARTBEAT"], [e for e in events(mine) if e.name == "HEARTBEAT"]
    if beats[0]:
        found += [f"HEARTBEAT: {text}" for text in differences(beats[0][0], beats[1][0])]
    return found


def _raced(event: TraceEvent, text: str) -> bool:
    """A media event may be fired before or after the channel was flipped, broke a playback, or ended one."""
    words = (
        "Caller-C",
        "pre_transfer",
        "cid_flipped",
        "variable_current",
        "variable_call_uuid",
        "variable_total",
        "variable_playback",
        "Channel-HIT",
        "variable_endpoint_disposition",
        "Hangup-Time",
        "hangup_disposition",
    )
    return event.name in ("CUSTOM", "MEDIA_BUG_START", "MEDIA_BUG_STOP") and any(word in text for word in words)


def compare_websocket(path: Path, mine: Recording) -> list[str]:
    """The agent's server saw the same openings, texts and first frames."""
    recorded = websocket_trace(path)
    if recorded is None:
        return []
    theirs = [entry[:3] for entry in recorded if entry[0] != "closed"]
    ours = [entry for entry in mine.websocket if entry[0] != "closed"]
    found = [] if theirs == ours else [f"websocket: {theirs} there, {ours} here"]
    silent = [entry for entry in mine.websocket if entry[0] == "closed" and not entry[1]]
    return found + [f"a socket without audio: {silent}"] * bool(silent)
