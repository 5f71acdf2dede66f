"""One call in the relay, from the first ring to the hangup: who is to talk, and how it ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any
from uuid import UUID

from calls.ids import agent_ref
from controller.relay.announcement import Announcement
from controller.relay.book import BookClosed
from controller.relay.conversation import Conversation
from controller.relay.earpiece import MediaConnection
from controller.relay.fallback import fallback
from controller.relay.handover import Handover
from controller.relay.leg import Ending, Failed, Leg, Parts, Talk
from controller.relay.person import Person
from controller.relay.recorder import Recorder
from controller.relay.script import Script
from controller.relay.succession import Succession
from controller.relay.switch import SwitchDown
from store.holds import AGENT_FAILED, Wish
from store.relay import RelayCall
from store.transfers import Open

log = logging.getLogger(__name__)

#: s; a hangup that was not carried out is asked for again.
_KILL_AGAIN_S = 2.0
#: s; between two tries to learn from Postgres who the agent is.
_LOOK_AGAIN_S = 0.5


def _kind(call: RelayCall) -> type[Announcement | Script | Conversation | Handover | Person]:
    """Who talks. One file without a menu goes on where it is, also when the relay is replaced."""
    if call.transfer_of is not None:
        return Handover
    if call.agent_kind == "sip":
        return Person
    if call.agent_kind != "announcement":
        return Conversation
    return Announcement if call.agent_script is None and call.agent_menu is None else Script


class CallSession:
    """:meth:`run` lives as long as the call and frees everything; whatever fails, the call ends with the reason."""

    def __init__(self, attempt: UUID, parts: Parts, *, resumed: bool = False, put_through: bool = False) -> None:
        self.leg = Leg(attempt, parts, resumed=resumed)
        self._talk: Talk | None = None
        self._recorder: Recorder | None = None
        self._chosen = asyncio.Event()
        self._put_through = asyncio.Event()
        self._call: RelayCall | None = None
        self._serving: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None  # another agent takes over
        self._heard_of: set[UUID] = set()  # wishes for that
        if put_through:
            self._put_through.set()

    @property
    def talk(self) -> Talk | None:
        """Who talks; None until it is known."""
        return self._talk

    async def run(self) -> None:
        """Serve the call to its end."""
        leg = self.leg
        self._serving = asyncio.create_task(self._guarded(self._work()), name=f"call {leg.attempt}")
        through = asyncio.create_task(self._put_through.wait())
        try:
            waiting: list[asyncio.Future[Any]] = [leg.over, through]
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if self._next is not None:
                self._next.cancel()
                await asyncio.wait([self._next])
            if not leg.over.done():
                await self._let_go()
            ending = await leg.ended()
            log.info("attempt %s: over: %s, by %s", leg.attempt, ending.reason, ending.by)
            self._serving.cancel()
            await asyncio.wait([self._serving])
            if self._recorder is not None:
                await self._recorder.stop()
            async with asyncio.TaskGroup() as group:
                if self._talk is not None:
                    group.create_task(self._talk.stop(ending))
                if ending.kill:
                    group.create_task(self._kill(ending))
        finally:
            self._serving.cancel()
            through.cancel()
            if leg.transferring and leg.over.done() and leg.over.result().reason != "relay_restart":
                leg.parts.book.call_off(leg.attempt)
            leg.parts.files.remove_all(leg.attempt)

    def put_through(self) -> None:
        """The switch says that this channel hears another one now."""
        if not isinstance(self._talk, Handover):
            self._put_through.set()

    def transferring(self) -> None:
        """A transfer is under way: its second leg is to end with this one."""
        self.leg.transferring = True

    def not_transferred(self, action: str, reason: str) -> bool:
        """A second leg that was asked for came to nothing; whoever talks goes on. False: nobody of ours talks
        (yet), or the call is let go of.
        """
        if self._talk is None or self.leg.over.done():
            return False
        if isinstance(self._talk, Conversation | Person):
            self._talk.on_transfer(action, "failed", reason)
        return True

    def hold(self, wish: Wish) -> None:
        """The call is to be held, or talked on."""
        if isinstance(self._talk, Conversation):
            if not self.leg.over.done():
                self._talk.hold.wanted(wish)
        elif self._talk is not None or self._put_through.is_set():
            self.leg.parts.book.finish(self.leg.attempt, wish.id, AGENT_FAILED if wish.begun else "refused: no agent talks")

    def hand_to(self, wanted: Open) -> None:
        """Another agent of the tenant's is to take over; told again, nothing more."""
        if wanted.command_id not in self._heard_of and (self._next is None or self._next.done()):
            self._heard_of.add(wanted.command_id)
            self._next = asyncio.create_task(self._succeed(wanted), name=f"succession {self.leg.attempt}")

    async def _succeed(self, wanted: Open) -> None:
        leg, old = self.leg, self._talk
        if not isinstance(old, Conversation) or self._call is None or self._recorder is None or self._serving is None:
            self._refused(wanted, "not_a_conversation")
            return
        following = Succession(leg, self._call, self._recorder, wanted)
        try:
            refused = await following.prepare()
        except asyncio.CancelledError:
            await following.give_up("hangup")
            raise
        if refused is not None or following.work is None:
            self._refused(wanted, refused or "relay_fault")
            return
        self._serving.cancel()
        try:
            await asyncio.wait([self._serving])
        except asyncio.CancelledError:  # the call is over, or put through, before the new agent had its turn
            following.work.cancel()
            await asyncio.wait([following.work])
            await following.give_up("hangup")
            raise
        self._talk, self._call = following.talk, following.call
        going = self._converse(following.call, following.talk, self._recorder, following.work)
        self._serving = asyncio.create_task(self._guarded(going), name=f"call {leg.attempt}")
        leg.parts.switch.break_all(leg.attempt)
        leg.playing.ended()
        leg.parts.files.remove_all(leg.attempt)
        following.take_over()
        leg.note("relay.handed_on", {"agent_id": agent_ref(following.call.agent_id)})
        leg.parts.book.handed_on(leg.attempt, wanted)
        await old.stop(Ending("transferred", None))

    def _refused(self, wanted: Open, reason: str) -> None:
        self.leg.parts.book.not_transferred(wanted, reason)
        self.not_transferred(wanted.name, reason)

    async def _let_go(self) -> None:
        """Somebody else talks to the callee now, and the agent is told so. The session waits for the end alone."""
        leg, talk = self.leg, self._talk
        log.info("attempt %s: put through", leg.attempt)
        leg.failure = None  # whoever failed the call before, it goes on as it should
        assert self._serving is not None
        self._serving.cancel()
        await asyncio.wait([self._serving])
        self._talk = None
        self._chosen.clear()
        with suppress(SwitchDown):
            if isinstance(talk, Conversation):
                leg.parts.switch.fork_stop(leg.attempt)
        if talk is not None:
            await talk.stop(Ending("transferred", None))
        leg.parts.files.remove_all(leg.attempt)

    async def serve_fork(self, fork: MediaConnection) -> None:
        """The switch's media socket for this call; returns when it is closed."""
        leg = self.leg
        chosen = asyncio.create_task(self._chosen.wait())
        try:
            waiting: list[asyncio.Future[Any]] = [chosen, leg.over]
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            chosen.cancel()
        if leg.over.done() or self._talk is None:
            await fork.close(1008, "the call is over")
        else:
            await self._talk.serve_fork(fork)

    async def _work(self) -> None:
        leg, call = self.leg, await self._look_up()
        if call is None or call.state == "ended":
            leg.end(Ending("not_ours", None))
            return
        self._call = call
        self._recorder = Recorder(leg, call)
        self._talk = _kind(call)(leg, call, self._recorder)
        self._chosen.set()
        await self._converse(call, self._talk, self._recorder, self._talk.run())

    async def _guarded(self, work: Awaitable[None]) -> None:
        leg = self.leg
        try:
            await work
        except Failed as error:
            leg.fail(error.reason, str(error))
        except SwitchDown as error:
            leg.fail("switch_link_lost", str(error))
        except Exception as error:
            log.exception("attempt %s: the relay failed", leg.attempt)
            leg.fail("relay_fault", type(error).__name__)

    async def _converse(self, call: RelayCall, talk: Talk, recorder: Recorder, work: Awaitable[None]) -> None:
        """The talk, whose ``work`` is under way, and if its agent fails, what the agent's owner wants instead."""
        try:
            await work
        except Failed as error:
            follower = fallback(self.leg, call, recorder, error)
            if follower is None:
                raise
            self.leg.lose_agent(error.reason, str(error))
            self.leg.note("relay.fallback", call.agent_fallback)
            self._talk = follower
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(talk.stop(Ending(error.reason, "platform")))
                    group.create_task(follower.run())
            except ExceptionGroup as failed:
                raise failed.exceptions[0] from None

    async def _look_up(self) -> RelayCall | None:
        """Ask Postgres, again and again within the time an agent has to be connected."""
        parts = self.leg.parts
        try:
            async with asyncio.timeout(parts.settings.agent_connect_timeout_s):
                while True:
                    try:
                        return await parts.book.agent_for(self.leg.attempt)
                    except BookClosed as error:
                        log.warning("attempt %s: who is the agent? %s", self.leg.attempt, error)
                    await asyncio.sleep(_LOOK_AGAIN_S)
        except TimeoutError as error:
            raise Failed("agent_unknown", "Postgres did not say who the agent is") from error

    async def _kill(self, ending: Ending) -> None:
        """Hang up, and do not stop asking before the channel is gone. What does not come about at once is also put on record
        as a command: the controller carries it out, whatever becomes of this relay. The switch's own time limit is the
        backstop.
        """
        leg, recorded = self.leg, False
        while not leg.gone.is_set():
            try:
                if not await leg.parts.switch.hang_up(leg.attempt, by=ending.by or "platform", reason=ending.reason):
                    return  # no such channel
            except SwitchDown as error:
                log.warning("attempt %s: cannot hang up yet: %s", leg.attempt, error)
                recorded = self._record(ending, recorded)
            try:
                async with asyncio.timeout(_KILL_AGAIN_S):
                    await leg.gone.wait()
            except TimeoutError:
                recorded = self._record(ending, recorded)

    def _record(self, ending: Ending, recorded: bool) -> bool:
        if not recorded:
            self.leg.parts.book.hang_up(self.leg.attempt, "agent" if ending.by == "agent" else "platform")
        return True
