"""Calls just accepted go straight into their lanes, where that would not let them overtake older ones."""

from __future__ import annotations

from collections.abc import Sequence

from budget.push import push
from store.calls import Accepted
from web.runtime import runtime


def lane(accepted: Sequence[Accepted]) -> None:
    """Spare them the feeder's next look.

    Not so behind a backlog, while all lanes together hold as many as they may, or while Redis is away. The calls are safe in
    Postgres already: the feeder brings them in their turn.
    """
    if not accepted:
        return
    ours = runtime()
    settings, items = ours.settings, [(one.attempt_id, one.lane) for one in accepted]
    ours.gate.ask(
        lambda: push(ours.redis, items, window=settings.lane_window, most=settings.laned_max),
        list,
    )
