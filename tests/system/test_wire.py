"""A short form of the run of docs/real-freeswitch.md: two carriers with limits, 2 % of the SIP datagrams lost each way."""

from __future__ import annotations

import pytest

from tests.real.run import place

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

#: Those that end by themselves within seconds; the full run has all.
QUICK = frozenset(
    {
        "analytics", "announcement", "busy", "declined", "early_then_ringing", "fault", "hangup_on_ack", "instant_hangup",
        "lost_ack", "network_blocked", "redirect", "reinvite", "timer_too_small", "unavailable", "unknown_number",
        "unwanted",
    }
)  # fmt: skip
#: Enough that the slower carrier has its share as well, however much later than the other it hears that it may dial.
CALLS = 6 * len(QUICK)


def test_every_call_ends_as_its_carrier_had_it_over_a_line_that_loses_datagrams() -> None:
    result = place(CALLS, loss=0.02, seed=1, outcomes=QUICK)
    assert not result.wrong, "\n".join([*result.lines, *result.wrong])
    # An INVITE that is sent again after a loss may find its carrier's second full, and is then tried once more.
    assert result.right >= CALLS
    assert result.lost > 0
