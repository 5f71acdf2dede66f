"""What comes after an agent that failed its call, as its owner wants it (``agents.fallback``).

A further action is one more case here: a Talk that takes over the leg. Whatever it plays, the call ends for the reason that
made it necessary (:meth:`Leg.lose_agent`).
"""

from __future__ import annotations

from dataclasses import replace

from controller.relay.announcement import Announcement
from controller.relay.leg import Failed, Leg, Talk
from controller.relay.person import Person
from controller.relay.recorder import Recorder
from controller.relay.script import Script
from store.relay import RelayCall

#: The agent's failures; those of the platform itself are no better for another voice, but for a switch that refuses the
#: agent's: it plays files all the same.
_AGENTS = frozenset(
    {
        "agent_address_refused",
        "agent_lost",
        "agent_not_ready",
        "agent_protocol",
        "agent_refused",
        "agent_unknown",
        "agent_unreachable",
        "no_seat",
        "voice_refused",
    }
)
#: Of the transfer; an agent's own name for one holds no space.
_NAME = "agent: fallback"


def fallback(leg: Leg, call: RelayCall, recorder: Recorder, why: Failed) -> Talk | None:
    """Who talks now; None: nobody, the call ends.

    A phone that we let ring is not left ringing for an apology. A caller's, who waits, is answered for it.
    """
    wanted = call.agent_fallback
    if wanted is None or why.reason not in _AGENTS or not (leg.answered.is_set() or call.direction == "inbound"):
        return None
    match wanted:
        case {"action": "announcement", "audio": str(audio)}:
            return Announcement(leg, replace(call, agent_kind="announcement", agent_audio=audio), recorder)
        case {"action": "announcement", "text": str(words)}:
            return Script(leg, replace(call, agent_kind="announcement", agent_script=[{"text": words}]), recorder)
        case {"action": "transfer", "to": str(number)}:
            return Person(leg, replace(call, agent_kind="sip", agent_number=number), recorder, name=_NAME)
    return None  # hangup
