"""The budget as a whole as it is now: its epoch, what is full, who waits for what, what was popped and never claimed."""

from __future__ import annotations

from dataclasses import dataclass

from redis import Redis

from budget.explain_scopes import ScopeNow, ask, clock, read_scopes
from budget.replies import number, texts
from budget.scripts import PREFIX

#: Scopes that are read one by one, those with most waiters first.
SHOWN = 50


@dataclass(frozen=True, slots=True)
class HouseNow:
    """``epoch`` open (None: nothing is granted) or ``rebuilding`` for one. ``everything``: the house's own limit.
    ``waiting``: scopes that lanes or tenants left an order for, most waiters first, at most :data:`SHOWN` of
    ``waiting_count``. ``popped`` attempts are granted and not claimed yet, ``overdue`` of them past their deadline.
    ``unlaned``: lanes with work of which nobody has said who serves them; ``overflowing``: lanes behind which older
    calls wait in Postgres.
    """

    epoch: int | None
    rebuilding: int | None
    run_id: str
    everything: ScopeNow
    waiting: tuple[ScopeNow, ...]
    waiting_count: int
    popped: int
    overdue: int
    unlaned: tuple[str, ...]
    overflowing: int
    lanes: int


def house(redis: Redis, *, now_us: int | None = None) -> HouseNow:
    """The budget as it is now. Raises ``RedisError``."""
    now = clock(redis, now_us)
    epoch, rebuilding, run_id, raw, popped, overdue, unlaned, overflowing, lanes = ask(
        redis,
        [
            ("GET", f"{PREFIX}epoch"),
            ("GET", f"{PREFIX}rebuilding"),
            ("GET", f"{PREFIX}run_id"),
            ("SMEMBERS", f"{PREFIX}waiting"),
            ("ZCARD", f"{PREFIX}popped"),
            ("ZCOUNT", f"{PREFIX}popped", "-inf", now),
            ("SMEMBERS", f"{PREFIX}unlaned"),
            ("SCARD", f"{PREFIX}overflow"),
            ("SCARD", "rq:queues"),
        ],
    )
    names = sorted(texts(raw))
    waiters = ask(redis, [("SCARD", f"{PREFIX}wait:{name}") for name in names])
    ranked = sorted(zip(names, map(int, waiters), strict=True), key=lambda pair: -pair[1])
    shown = [name for name, _ in ranked[:SHOWN]]
    scopes = read_scopes(redis, ["global", *shown], now).scopes
    return HouseNow(
        number(epoch),
        number(rebuilding),
        run_id.decode() if run_id else "",
        scopes["global"],
        tuple(scopes[name] for name in shown if name != "global" or "global" in names),
        len(names),
        int(popped),
        int(overdue),
        tuple(sorted(texts(unlaned))),
        int(overflowing),
        int(lanes),
    )
