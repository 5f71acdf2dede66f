"""One agent takes over from another in mid-call: it is connected and ready before the first one takes its leave."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

from controller.relay.audio import SAMPLE_RATE
from controller.relay.conversation import Conversation
from controller.relay.leg import Ending, Failed, Leg
from controller.relay.recorder import Recorder
from store.relay import RelayCall
from store.transfers import Open

log = logging.getLogger(__name__)


class Succession:
    """``call``: as it is once the new agent talks; ``talk``: its conversation."""

    def __init__(self, leg: Leg, call: RelayCall, recorder: Recorder, wanted: Open) -> None:
        self._leg = leg
        self.wanted = wanted
        self.call = replace(
            call,
            agent_id=wanted.agent_id or call.agent_id,
            agent_name=wanted.agent_name or call.agent_name,
            agent_kind=wanted.agent_kind or "websocket",
            agent_url=wanted.agent_url,
            agent_pool=wanted.agent_pool,
            agent_seat_policy=wanted.agent_pool and "reserved",
            agent_pool_key=wanted.agent_pool_key,
            agent_protocol=wanted.agent_protocol or "trunkline",
            agent_fallback=wanted.agent_fallback,
            agent_voice=wanted.agent_voice,
            agent_secret=wanted.agent_secret,
            agent_greeting=None,
            held=None,
            agent_sample_rate=wanted.agent_sample_rate or SAMPLE_RATE,
        )
        self._seats = leg.parts.seats if "fleet" in (call.agent_kind, wanted.agent_kind) else None
        self.talk = Conversation(leg, self.call, recorder, waiting=True)
        self.work: asyncio.Task[None] | None = None

    async def prepare(self) -> str | None:
        """Bring the new agent about. None: it is ready; else why it is not, and nothing is left of it."""
        self.work = work = asyncio.create_task(self.talk.run(), name=f"next agent {self._leg.attempt}")
        ready = asyncio.create_task(self.talk.turn.prepared.wait())
        try:
            await asyncio.wait([work, ready], return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            work.cancel()
            raise
        finally:
            ready.cancel()
        if not work.done():
            return None
        try:
            work.result()
        except Failed as error:
            log.warning("attempt %s: the next agent: %s: %s", self._leg.attempt, error.reason, error)
            reason = error.reason
        except Exception:
            log.exception("attempt %s: the next agent", self._leg.attempt)
            reason = "relay_fault"
        else:
            reason = "agent_closed"
        await self.give_up(reason)
        return reason

    def take_over(self) -> None:
        """It is its turn: the other one's seat, and the like, is not needed any more."""
        self.talk.turn.ours.set()
        if self._seats is not None:
            self._seats.moved(self._leg.attempt, taken_over=True)

    async def give_up(self, reason: str) -> None:
        """It is not to talk."""
        await self.talk.stop(Ending(reason, None))
        if self._seats is not None:
            self._seats.moved(self._leg.attempt, taken_over=False)
