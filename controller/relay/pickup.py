"""A caller is answered when whoever is to talk is ready, not before: until then there is no audio in either direction."""

from __future__ import annotations

import logging

from controller.relay.leg import Failed, Leg
from store.relay import RelayCall

log = logging.getLogger(__name__)


async def pick_up(leg: Leg, call: RelayCall) -> None:
    """Answer the call, if it is a caller's and was not answered yet. Returns when the switch has done so, or when the leg is
    over. Raises :class:`Failed` or :class:`controller.relay.switch.SwitchDown`.
    """
    if call.direction != "inbound" or leg.answered.is_set():
        return
    settings, switch = leg.parts.settings, leg.parts.switch
    try:
        await switch.wait_up(settings.esl_command_timeout_s)
    except TimeoutError:
        raise Failed("switch_link_lost", "no link to the switch to answer the caller by") from None
    if not await switch.answer(leg.attempt):
        leg.hung_up(None, None)
        await leg.ended()
        return
    leg.parked.set()  # the dialplan parked it before the first ring
    # Behind the answer: that takes out what the dialplan had scheduled.
    switch.bound(leg.attempt, call.max_duration_s)
