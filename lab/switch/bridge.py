"""uuid_bridge: two answered legs hear each other (switch_ivr_uuid_bridge). The hangup of one ends the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.switch.channel import Channel


def join(first: Channel, second: Channel) -> None:
    """At once: what a real switch's two threads do within some 20 ms."""
    for one, other in ((first, second), (second, first)):
        one.vars |= {"bridge_channel": other.name, "bridge_uuid": other.uuid, "signal_bond": other.uuid}
    for one in (second, first):
        one.apps.leave()
    first.run_state("CS_SOFT_EXECUTE")
    second.run_state("CS_SOFT_EXECUTE")
    first.other, second.other = second, first
    first.fire("CHANNEL_BRIDGE", [("Bridge-A-Unique-ID", first.uuid), ("Bridge-B-Unique-ID", second.uuid)])
    for one, other in ((first, second), (second, first)):
        one.vars |= {"bridge_to": other.uuid, "last_bridge_to": other.uuid}
        one.switch.media.watch(one)
    second.run_state("CS_EXCHANGE_MEDIA")


def part(channel: Channel) -> None:
    """It hangs up, and so does its other side."""
    other, channel.other = channel.other, None
    if other is not None:
        other.other = None
        channel.fire("CHANNEL_UNBRIDGE")
        channel.switch.loop.call_soon(other.hangup, "NORMAL_CLEARING")
