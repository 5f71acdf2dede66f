"""What accepting a call asks of Postgres: for one call when it is needed, for the rows of a batch all at once.

A new question of :func:`web.api.newcall.weigh` is a method here, with its answer for many in :class:`Prefetched`; so a batch
costs no query per row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from calls.standing import Standing
from store import agents, carriers, permission, webhook_endpoints
from store.agents import Agent
from store.permission import Known
from store.pool import Database

#: Calls asked for in one question: what comes back is read in a few milliseconds.
PORTION = 50


class Lookups:
    """Asked one by one; the same agent or endpoint is asked for once. ``test``: by a test key."""

    def __init__(self, database: Database, tenant_id: UUID, *, test: bool = False) -> None:
        self._database = database
        self.test = test
        self._tenant_id = tenant_id
        self._agents: dict[UUID, Agent | None] = {}
        self._endpoints: dict[UUID, bool] = {}

    def known(self, args: Mapping[str, Any]) -> Known:
        """What the rules want to know of the call that ``args`` ask for, and its route."""
        return permission.ask(self._database, self._tenant_id, args["agent_id"], args["to"], args["from_"], test=self.test)

    def agent(self, agent_id: UUID) -> Agent | None:
        """The tenant's agent, or None."""
        if agent_id not in self._agents:
            self._agents[agent_id] = agents.get(self._database, self._tenant_id, agent_id)
        return self._agents[agent_id]

    def has_endpoint(self, endpoint_id: UUID) -> bool:
        """Whether the tenant has such a webhook endpoint; a batch names a few of them, if any."""
        if endpoint_id not in self._endpoints:
            found = webhook_endpoints.get(self._database, self._tenant_id, endpoint_id)
            self._endpoints[endpoint_id] = found is not None
        return self._endpoints[endpoint_id]


class Prefetched(Lookups):
    """Everything that many calls may ask, looked up when it is made. ``breathe`` is called between two questions."""

    def __init__(
        self, database: Database, tenant_id: UUID, asked: Sequence[Mapping[str, Any]], breathe: Callable[[], None]
    ) -> None:
        super().__init__(database, tenant_id)
        self._routes = carriers.routes_by_prefix(database)
        ids = {args["agent_id"] for args in asked}
        self._agents = {**dict.fromkeys(ids), **agents.get_several(database, tenant_id, ids)}
        self._standing: dict[tuple[str, str], Standing] = {}
        numbers = list(dict.fromkeys((args["to"], args["from_"]) for args in asked))
        for start in range(0, len(numbers), PORTION):
            portion = numbers[start : start + PORTION]
            self._standing.update(zip(portion, permission.ask_all(database, tenant_id, portion), strict=True))
            breathe()

    def known(self, args: Mapping[str, Any]) -> Known:
        agent = self._agents[args["agent_id"]]
        standing = self._standing[args["to"], args["from_"]]
        route = longest(self._routes, args["to"])
        if agent is None:
            return Known(route, None, standing)
        return Known(route, agent.kind, standing, agent.needs, agent.seats)


def longest(routes: Mapping[str, str], e164: str) -> str | None:
    """The name of the route with the longest prefix of ``+digits``, of ``routes`` by prefix; None: there is none."""
    digits = e164.removeprefix("+")
    for length in range(len(digits), -1, -1):
        if (found := routes.get(digits[:length])) is not None:
            return found
    return None
