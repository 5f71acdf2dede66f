"""The end of a relay in order: it takes no new call, and carries those it has to their end, or until its time is over.

Its port is free at once, so the next relay may start beside it. That one is not to take up what is still carried here: each
such channel says so by a note that is renewed, and runs out by itself if this relay dies.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING
from uuid import UUID

from controller.frames import Event, text_of
from controller.relay.switch import SwitchDown

if TYPE_CHECKING:
    from controller.relay.desk import Desk
    from controller.relay.run import Relay

log = logging.getLogger(__name__)

#: s; how long a note holds, and between two of them.
HOLD_S, RENEW_S = 10.0, 2.0
#: s; between two looks at what is left.
_LOOK_S = 0.1
#: s; a switch that is away for longer has no calls to wait for.
_AWAY_S = 3.0


def kept_elsewhere(channel: Event) -> bool:
    """Another relay says that it still carries this channel."""
    until = text_of(channel, "variable_trunkline_relay_until")
    return until is not None and until.isdecimal() and int(until) > time.time()


async def drain(relay: Relay, limit_s: float, now_please: asyncio.Event) -> None:
    """Returns when no call is left, ``limit_s`` has passed, ``now_please`` is set, or the switch is away. What is left then
    is let go of by whoever leaves the relay's block, and taken up by the next relay.
    """
    desk, loop = relay.desk, asyncio.get_running_loop()
    relay.server.close(close_connections=False)
    desk.take_no_more()
    log.info("draining: %d conversations to their end, for %g s at most", desk.count, limit_s)
    until, away_since, renew_at = loop.time() + limit_s, None, 0.0
    try:
        while desk.count and loop.time() < until and not now_please.is_set():
            now = loop.time()
            if relay.deeds.up:
                away_since = None
            else:
                away_since = now if away_since is None else away_since
                if now - away_since >= _AWAY_S:
                    break
            if now >= renew_at:
                renew_at = now + RENEW_S
                relay.files.mark_draining()
                _note(desk, int(time.time() + HOLD_S) + 1)
            await asyncio.sleep(_LOOK_S)
    finally:
        if desk.count:
            log.warning("the relay stops with %d conversations: they are the next one's", desk.count)
        _note(desk, 0)
        relay.files.unmark_draining()


def _note(desk: Desk, until: int) -> None:
    for attempt in desk.attempts:
        _keep(desk, attempt, until)


def _keep(desk: Desk, attempt: UUID, until: int) -> None:
    try:
        desk.switch.keep(attempt, until)
    except SwitchDown:
        log.debug("attempt %s: no link to say who carries it", attempt)
