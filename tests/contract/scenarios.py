"""One scenario for each recording: what has to be set up so that the same commands meet the same world."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field

from websockets.asyncio.server import ServerConnection

from lab.audio import pcm

Agent = Callable[[ServerConnection], Coroutine[object, object, None]]


async def _listen_only(_socket: ServerConnection) -> None:
    await asyncio.sleep(0)


async def _drops(socket: ServerConnection) -> None:
    await asyncio.sleep(0.6)
    await socket.close()


async def _plays_and_controls(socket: ServerConnection) -> None:
    """The messages of the recorded agent, in its rhythm: the playback must have begun before killAudio."""
    audio = base64.b64encode(pcm.tone(440, 1.0)).decode()
    await asyncio.sleep(0.5)
    for message in (
        {
            "type": "playAudio",
            "data": {"audioContentType": "raw", "sampleRate": 8000, "audioContent": audio, "textContent": "tone"},
        },
        {"type": "json", "data": {"any": "thing"}},
        {"type": "transcription", "data": {"text": "hello world", "final": True}},
    ):
        await socket.send(json.dumps(message))
    await asyncio.sleep(0.35)
    await socket.send(json.dumps({"type": "killAudio"}))
    await socket.send(json.dumps({"type": "transfer", "data": {"to": "+15550002222"}}))
    await asyncio.sleep(0.3)
    await socket.send(json.dumps({"type": "disconnect", "data": {"reason": "done"}}))


@dataclass(frozen=True, slots=True)
class Scenario:
    """`time_scale` shortens the carrier's times; `agent` serves the audio fork; `heartbeat_s` where one was seen;
    `calls_in`: a carrier calls the switch, and hangs up after `time_scale` * 2 s; `hash`: what the switch's hash held."""

    time_scale: float = 1.0
    agent: Agent | None = None
    heartbeat_s: float = 0.0
    calls_in: bool = False
    hash: dict[str, str] = field(default_factory=dict)


SCENARIOS: dict[str, Scenario] = {
    "announcement_183_then_404": Scenario(time_scale=0.2, heartbeat_s=0.3),
    "answer_then_instant_hangup": Scenario(),
    "answer_without_18x": Scenario(time_scale=0.3),
    "answered_callee_hangs_up": Scenario(time_scale=0.2),
    "answered_dialer_hangs_up": Scenario(),
    "audio_fork_agent_drops": Scenario(agent=_drops, heartbeat_s=0.5),
    "audio_fork_connect_failed": Scenario(),
    "audio_fork_metadata_with_spaces": Scenario(agent=_listen_only),
    "audio_fork_play_and_control": Scenario(agent=_plays_and_controls),
    "auth_rejected": Scenario(),
    "busy": Scenario(),
    "cancel_crosses_answer": Scenario(),
    "canceled_while_ringing": Scenario(),
    "carrier_cps_limit_503": Scenario(heartbeat_s=0.3),
    "carrier_fault_503": Scenario(),
    "carrier_says_nothing": Scenario(heartbeat_s=1.0),
    "declined": Scenario(),
    "digest_challenge_407": Scenario(),
    "duplicate_uuid_and_queries": Scenario(),
    "early_media_then_answer": Scenario(),
    "fork_on_answer": Scenario(agent=_listen_only),
    "gateway_refuses_connection": Scenario(),
    "inbound_call": Scenario(time_scale=0.2, calls_in=True),
    "json_events": Scenario(),
    "network_blocked_603": Scenario(heartbeat_s=0.3),
    "no_answer_timeout": Scenario(),
    "queries": Scenario(),
    "record_playback_setvar": Scenario(),
    "redirect_302_followed": Scenario(),
    "redirect_302_refused": Scenario(),
    "sendmsg_playback_and_break": Scenario(heartbeat_s=0.5),
    "switch_limits": Scenario(heartbeat_s=1.0),
    "tombstone_in_hash": Scenario(hash={"a_b": "c"}),
    "trying_only_then_late_ringing": Scenario(time_scale=0.1),
    "unavailable_480": Scenario(),
    "unknown_gateway": Scenario(),
    "unknown_number": Scenario(),
}
