"""A call just accepted goes straight into its lane, where that would not let it overtake older ones."""

from __future__ import annotations

from budget.push import push
from store.calls import Accepted
from web.runtime import runtime


def lane(accepted: Accepted) -> bool:
    """Spare the caller the feeder's next look; True: the attempt is in its lane, or under way already.

    Not so behind a backlog, while all lanes together hold as many as they may, or while Redis is away. The call is safe in
    Postgres already: the feeder brings it in its turn.
    """
    ours = runtime()
    settings, item = ours.settings, (accepted.attempt_id, accepted.lane)
    return ours.gate.ask(
        lambda: bool(push(ours.redis, [item], window=settings.lane_window, most=settings.laned_max)),
        lambda: False,
    )
