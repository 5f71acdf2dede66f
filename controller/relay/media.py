"""The switch's media socket of one call: opened by the switch on the answer, opened again where it was lost."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from websockets.exceptions import ConnectionClosed

from controller.relay.earpiece import MediaConnection
from controller.relay.leg import Ending, Failed, Leg
from controller.relay.switch import SwitchDown, answered_at
from controller.relay.texts import json_values
from controller.relay.turn import Turn

log = logging.getLogger(__name__)

#: Lost media sockets of one call; then the switch's side is taken for broken.
_FORKS = 4
#: s; a hangup closes the media socket a moment before its event comes.
_HANGUP_GRACE_S = 0.5
#: s; the media socket opens on the answer, so the answer's event must be near. Else the switch is asked.
_ANSWER_GRACE_S = 0.5


class MediaSocket:
    """``on_frame`` gets the callee's audio."""

    def __init__(self, leg: Leg, direction: str, on_frame: Callable[[bytes], None], turn: Turn) -> None:
        self._turn = turn
        self._leg = leg
        self._direction = direction
        self._on_frame = on_frame
        self._fork: MediaConnection | None = None
        self._up = asyncio.Event()
        self._lost = asyncio.Event()

    @property
    def up(self) -> bool:
        """The callee is heard."""
        return self._up.is_set()

    def failed(self) -> None:
        """The switch could not connect it."""
        self._lost.set()

    def abort(self) -> None:
        """The channel is gone, or nobody listens any more; the switch's module closes its own end."""
        if self._fork is not None:
            self._fork.transport.abort()

    async def serve(self, fork: MediaConnection) -> None:
        """Take the callee's audio until the socket closes. The newest socket counts."""
        leg = self._leg
        self.abort()
        self._fork = fork
        self._lost.clear()
        self._up.set()
        leg.note("relay.fork_connected")
        asking = None if leg.answered.is_set() else asyncio.create_task(self._ask_if_answered())
        try:
            fork.listen(self._on_frame)
            async for text in fork:
                if isinstance(text, str):
                    log.debug("attempt %s: the switch's media socket says %s", leg.attempt, json_values(text))
        except (ConnectionClosed, ValueError) as error:
            log.debug("attempt %s: the media socket: %s", leg.attempt, error)
        finally:
            if asking is not None:
                asking.cancel()
            if self._fork is fork:
                self._fork = None
                self._up.clear()
                self._lost.set()

    async def _ask_if_answered(self) -> None:
        """A media socket without an answer: the event got lost, so the channel itself is asked."""
        leg = self._leg
        while not leg.answered.is_set():
            await asyncio.sleep(_ANSWER_GRACE_S)
            with suppress(SwitchDown):
                channel = await leg.parts.switch.look(leg.attempt)
                if channel is None:
                    leg.hung_up(None, None)
                elif at := answered_at(channel):
                    leg.answer(at)

    async def keep(self) -> None:
        """From the answer on there is a media socket, or a new one is asked for, or it raises :class:`Failed`."""
        leg, timeout_s = self._leg, self._leg.parts.settings.relay_fork_timeout_s
        await leg.answered.wait()
        await self._turn.ours.wait()
        # A callee's is opened by the switch itself, on the answer.
        if (leg.resumed or self._turn.waited or self._direction == "inbound") and not self._up.is_set():
            await self._again()
        for _ in range(_FORKS):
            up = asyncio.create_task(self._up.wait())
            lost = asyncio.create_task(self._lost.wait())
            was_up = False
            try:
                await asyncio.wait([up, lost], timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
                if was_up := self._up.is_set():
                    await lost
            finally:
                up.cancel()
                lost.cancel()
            await asyncio.wait([leg.over], timeout=_HANGUP_GRACE_S)
            leg.note("relay.fork_lost", {"was_up": was_up})
            self._lost.clear()
            await self._again()
        raise Failed("media_lost", f"the media socket was lost {_FORKS} times")

    async def _again(self) -> None:
        """Ask the switch for a new media socket. A link that is down is waited for."""
        leg, settings = self._leg, self._leg.parts.settings
        if leg.parts.draining.is_set():
            leg.end(Ending("relay_restart", None))  # a new one would come to the next relay: so it is that one's call
            await leg.ended()
        try:
            await leg.parts.switch.wait_up(settings.esl_backoff_max_s + settings.esl_connect_timeout_s)
            if not await leg.parts.switch.exists(leg.attempt):
                leg.hung_up(None, None)
                await leg.ended()
            elif not await leg.parts.switch.fork_again(leg.attempt):
                log.warning("attempt %s: the switch refuses a media socket", leg.attempt)
        except (TimeoutError, SwitchDown) as error:
            raise Failed("media_lost", f"no media socket, and no link to ask for one: {error}") from error
