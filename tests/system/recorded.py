"""A recorded call as its enterprise meets it: a notice, a pause, the file, its removal. For any house, on any switch."""

from __future__ import annotations

import hashlib
import io
import time
import urllib.error
import urllib.request
import wave
from typing import Any

import pytest

from calls.ids import agent_ref
from lab.audio import pcm
from tests.system.test_one_call import Caller
from trunkline.children import wait_until
from trunkline.stack import Stack

#: Says 440 Hz without end.
SPEAKS, CALLEE_HZ = "+12125550121", 440
AGENT_HZ, NOTICE_HZ = 1000, 700
#: s; of a silence that no heavily loaded machine can be taken for.
PAUSE_S = 1.5


def wait_state(caller: Caller, call: str, state: str, timeout_s: float = 30) -> dict[str, Any]:
    """The call's one recording, once it is so far."""
    found: dict[str, Any] = {}

    def there() -> bool:
        seen = caller.see(call, "/recordings")["data"]
        found.update(seen[0] if seen else {})
        return found.get("state") == state

    wait_until(f"the recording of {call} to be {state}", there, timeout_s=timeout_s, every_s=0.1)
    return found


def act(caller: Caller, call: str, verb: str) -> None:
    """Ask for it, and wait until the switch has done it."""
    asked = caller.api.post(f"{call}/actions/{verb}", {})
    assert asked.status == 202, asked
    where, results = asked.headers["location"], []

    def done() -> bool:
        results.append(caller.api.get(where).body["result"])
        return results[-1] is not None

    wait_until(verb, done, timeout_s=60)
    assert results[-1] == {"pause_recording": "paused", "resume_recording": "resumed"}[verb]


def told(caller: Caller, call: str) -> list[str]:
    return [event["type"] for event in caller.see(call, "/events")["data"] if event["type"].startswith("recording.")]


def check_recorded_call(stack: Stack, name: str) -> None:
    """Recorded after the notice and not before, silent while paused, to be had by its address, gone when asked for."""
    for file, hz, seconds in (("notice.wav", NOTICE_HZ, 1.0), ("told.wav", AGENT_HZ, 60.0)):
        pcm.write_wav(str(stack.audio / file), pcm.tone(hz, seconds))
        (stack.audio / file).chmod(0o644)
    caller = Caller(stack, name)
    call = caller.post(
        SPEAKS,
        max_attempts=1,
        recording={"start": "after_notice", "notice": "notice.wav"},
        agent_id=agent_ref(stack.announcement(caller.account, "told.wav")),
    )
    wait_state(caller, call, "recording")
    time.sleep(1.0)
    act(caller, call, "pause_recording")
    time.sleep(PAUSE_S)
    act(caller, call, "resume_recording")
    time.sleep(1.0)
    caller.api.post(f"{call}/actions/hangup", {})
    kept = wait_state(caller, call, "available")
    (pause,) = kept["pauses"]
    assert pause["from"] < pause["to"]
    with urllib.request.urlopen(kept["url"], timeout=10) as answer:
        data = answer.read()
    assert (len(data), hashlib.sha256(data).hexdigest()) == (kept["bytes"], kept["sha256"])
    check_sound(data)
    assert told(caller, call) == ["recording.started", "recording.completed"]
    assert caller.api.request("DELETE", f"/v1/recordings/{kept['id']}").status == 202
    wait_state(caller, call, "deleted")
    assert told(caller, call)[-1] == "recording.deleted"
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(kept["url"], timeout=10)


def check_sound(data: bytes) -> None:
    """The callee left, the agent right, nothing of the notice, and one stretch of silence on both sides."""
    with wave.open(io.BytesIO(data)) as sound:
        assert (sound.getnchannels(), sound.getframerate()) == (2, 8000)
        samples = pcm.unpack(sound.readframes(sound.getnframes()))
    left, right = samples[::2].tobytes(), samples[1::2].tobytes()
    assert share(left, CALLEE_HZ) > 0.8
    assert share(left, AGENT_HZ) < 0.1
    assert share(right, AGENT_HZ) > 0.8
    assert share(right, NOTICE_HZ) < 0.2
    assert share(right, CALLEE_HZ) < 0.2
    frames = range(0, len(left), 320)
    silent = "".join("." if not any(left[at : at + 320]) and not any(right[at : at + 320]) else "#" for at in frames)
    longest = max(map(len, silent.split("#")))
    assert longest >= PAUSE_S * 50 - 5, silent


def share(sound: bytes, hz: int) -> float:
    """The greatest share of that tone in any fifth of a second."""
    return max(pcm.goertzel(sound[at : at + 3200], hz) for at in range(0, len(sound) - 3200, 1600))
