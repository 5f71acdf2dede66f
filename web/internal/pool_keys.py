"""The keys of the fleet's pools, for their keepers: kept for a second, because each keeper asks every second."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from contextlib import suppress

import psycopg

from store import agent_pools
from store.pool import Database

#: s; what is known, or that there is no such pool, is asked for again after this: a key that was renewed is with the keepers
#: before the relay gives up a call. While Postgres does not answer, whoever asks it waits.
KNOWN_S, AWAY_S = 1.0, 10.0


class PoolKeys:
    """One process's."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database, self._clock = database, clock
        self._keys: dict[str, str | None] = {}
        self._until: dict[str, float] = {}

    def of(self, names: Collection[str]) -> dict[str, str | None]:
        """The key of each pool, None: there is no such pool. While Postgres is away: as it said last, and nothing of others.
        Never raises.
        """
        now = self._clock()
        asked = [name for name in names if self._until.get(name, 0.0) <= now]
        if asked:
            # Until it has answered nobody else asks: a Postgres that is away is not asked by every keeper's every word.
            self._until |= dict.fromkeys(asked, now + AWAY_S)
            with suppress(psycopg.Error):
                found = agent_pools.keys(self._database, asked)
                self._keys |= {name: found.get(name) for name in asked}
                self._until |= dict.fromkeys(asked, now + KNOWN_S)
        return {name: self._keys[name] for name in names if name in self._keys}
