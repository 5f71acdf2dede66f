"""The switch's gateways: whether their pings are answered. A carrier that this switch cannot reach gets no permit from it,
and Postgres is told, so that the carrier's health and people see it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

import psycopg
from gevent.event import Event as Flag

from controller import commands
from controller.board import Board
from controller.esl import EslError
from controller.frames import Event
from store import carriers, outcomes
from store import gateways as versions
from store.queue import clock

log = logging.getLogger(__name__)

_STATUS = re.compile(r"<status>\s*(UP|DOWN)\b")
_PING = re.compile(r"<pingtime>\s*([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*<")


class Gateways:
    """One switch's. ``run`` loops; events only wake it, so that nothing waits in a link's reader."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._woken = Flag()
        self._up: dict[UUID, dict[str, bool]] = {}

    def down(self, carrier_id: UUID) -> bool:
        """Whether no gateway of the carrier is known to be up here, and at least one is known to be down."""
        seen = self._up.get(carrier_id, {})
        return bool(seen) and not any(seen.values())

    def wake(self) -> None:
        """All of them are looked at now."""
        self._woken.set()

    def on_event(self, _event: Event) -> None:
        """``sofia::gateway_state``: all of them are looked at."""
        self._woken.set()

    def run(self) -> None:
        """Until killed. A server or switch that is away only delays it."""
        while True:
            self._woken.clear()
            if self._board.link.up and self._board.duty.on:
                try:
                    self.look(clock(self._board.db))
                except (EslError, psycopg.Error, OSError) as error:
                    log.warning("gateways not looked at", extra={"error": str(error)})
            self._woken.wait(self._board.settings.gateway_look_s)

    def look(self, now: datetime) -> Mapping[UUID, Mapping[str, bool]]:
        """Asks for every enabled gateway, and writes down what it heard."""
        found: dict[UUID, dict[str, bool]] = {}
        here = {one.gateway for one in versions.loads(self._board.db, self._board.settings.switch) if one.state == "loaded"}
        for endpoint in carriers.list_endpoints(self._board.db, lab=self._board.settings.lab_switch):
            if not endpoint.enabled:
                continue
            reply = self._board.link.call(commands.gateway_status(endpoint.gateway))
            status = _STATUS.search(reply)
            if status is None and endpoint.name is None:
                continue  # not configured here, or it says something else: an originate will tell
            # One that is rendered and not there, or not as it should be, is no way to the carrier from here: no claim takes
            # it, so no permit may be asked for it, whatever its pings say.
            loaded = status is not None and (endpoint.name is None or endpoint.gateway in here)
            up = loaded and status is not None and status[1] == "UP"
            before = self._up.get(endpoint.carrier_id, {}).get(endpoint.gateway)
            if before is not up and (before is not None or not up):
                said = {"gateway": endpoint.gateway, "up": up, "switch": self._board.settings.switch}
                log.log(logging.INFO if up else logging.WARNING, "gateway", extra=said)
            found.setdefault(endpoint.carrier_id, {})[endpoint.gateway] = up
            if not loaded:
                # That a switch has it not, or not yet, says nothing of the carrier: whoever judges it hears of pings alone.
                # Else a carrier that was just added, or a house that starts, begins with a pause and counted calls.
                continue
            ping = _PING.search(reply)
            outcomes.gateway_seen(
                self._board.db,
                switch=self._board.settings.switch,
                gateway=endpoint.gateway,
                up=up,
                ping_ms=float(ping[1]) if ping and float(ping[1]) > 0 else None,
                now=now,
            )
        self._up = found
        return found
