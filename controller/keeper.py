"""Keeps the gateways of one switch: renders and loads what was ordered, tells what is there, kills what nobody uses.

Only the controller on duty acts. It changes nothing that was not ordered (trunkline carriers apply), but for retired
gateways, which are killed when the switch and Postgres both say that no call is on them.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from uuid import UUID

import gevent
import psycopg

from calls.trunk import literal_address
from controller import commands, doctor_commands, esl_replies
from controller.board import Board
from controller.esl import EslError
from controller.gateway_commands import ACL
from controller.gateway_files import GatewayFiles
from controller.gateway_status import Finding, compare, read_gateways
from controller.gateway_xml import ACL_FILE, File, SecretMissing, acl_file, gateway_file
from controller.rounds import Rounds
from store import carriers, gateways
from store.gateways import Order, State, Version

log = logging.getLogger(__name__)

#: s; between two looks for an order and for gateways that nobody uses any more, unless woken.
TURN_S = 2.0
#: s; after a rescan, until the gateways are there.
LOAD_S = 5.0
#: s; a retired gateway is left alone so long: claims that took it are in Postgres by then.
SETTLE_S = 3.0
_POLL_S = 0.1


class Keeper(Rounds):
    """One switch's. ``run`` loops; ``on_change`` is called when the switch has other gateways, or new dials take others."""

    def __init__(self, board: Board, on_change: Callable[[], None], secrets: Mapping[str, str] = os.environ) -> None:
        super().__init__(board.settings, "carriers", TURN_S)
        self._board = board
        self._lab = board.settings.lab_switch
        self._on_change = on_change
        self._secrets = secrets
        self._look_at = 0.0
        self._told: list[Finding] | None = None
        self._states: dict[str, tuple[State, str]] = {}

    def round(self) -> None:
        """As a controller on duty with a way to its switch; else nothing."""
        if not (self._board.link.up and self._board.duty.held and self._board.inherited):
            return
        try:
            self.turn()
        except (EslError, psycopg.Error, OSError, ValueError) as error:
            log.warning("gateways not kept", extra={"error": str(error)})

    def wake(self) -> None:
        """Another switch process, or another duty: look at once, and tell what is seen."""
        self._look_at, self._told = 0.0, None
        super().wake()

    def turn(self) -> None:
        """What is ordered, a look when it is time for one, and an end to what is retired."""
        name = self._board.settings.switch
        order = gateways.open_order(self._board.db, name)
        if order is not None or time.monotonic() >= self._look_at:
            whole = self._look(order)
            # A switch that has just been started may have its gateways a moment later.
            self._look_at = time.monotonic() + (self._board.settings.gateway_look_s if whole else TURN_S)
        self._kill_unused()

    def _look(self, order: Order | None) -> bool:
        """Whether every gateway is there as it should be, also one that the switch cannot send to: no load changes that."""
        name, db = self._board.settings.switch, self._board.db
        wanted = gateways.wanted(db, name, lab=self._lab)
        by_hand = [e.gateway for e in carriers.list_endpoints(db)]
        failed: dict[str, str] = {}
        if order is not None and order.kind == "apply":
            failed = self._mend([version for version in wanted if version.retired_at is None])
        seen = self._seen()
        findings = compare(wanted, seen, by_hand)
        wrong = {finding.gateway: finding.detail for finding in findings if finding.what in ("missing", "differs")}
        refused = wrong | {finding.gateway: finding.detail for finding in findings if finding.what == "family"}
        states: dict[str, tuple[State, str]] = {}
        for version in wanted:
            if version.gateway in refused:
                states[version.gateway] = ("failed", failed.get(version.gateway, refused[version.gateway]))
            else:
                states[version.gateway] = ("loaded" if version.gateway in seen else "gone", "")
        findings = [
            Finding(f.gateway, "failed", failed[f.gateway]) if f.gateway in failed and f.what == "missing" else f
            for f in findings
        ]
        findings += self._strangers([version for version in wanted if version.retired_at is None])
        news = findings != self._told
        self._told = findings
        for finding in findings if news else ():
            log.warning("gateways differ", extra={"switch": name, **finding.as_dict()})
        shifted = gateways.put_loads(db, name, states, datetime.now(UTC))
        if shifted:
            log.info("new dials take other gateways", extra={"gateways": shifted})
        if shifted or states != self._states:
            self._states = states
            self._on_change()
        if order is not None or news:
            told = [finding.as_dict() for finding in findings]
            gateways.done(db, name, None if order is None else order.id, told, datetime.now(UTC))
        return not wrong

    def _seen(self) -> dict[str, dict[str, str]]:
        return read_gateways(self._board.link.call(commands.gateway_list()))

    def _mend(self, wanted: Sequence[Version]) -> dict[str, str]:
        """Write what is to be there and have it loaded; gateway -> why not, for those that could not be."""
        if not self._board.settings.gateway_dir:
            where = self._board.settings.switch
            return {v.gateway: f"TRUNKLINE_GATEWAY_DIR is not set for the controller of {where}" for v in wanted}
        files, ready, failed = GatewayFiles(self._board.settings.gateway_dir), list[File](), dict[str, str]()
        for version in wanted:
            try:
                ready.append(gateway_file(version, self._secrets))
            except SecretMissing as error:
                failed[version.gateway] = str(error)
        try:
            files.write(ready)
            files.keep(
                frozenset(v.gateway for v in gateways.wanted(self._board.db, self._board.settings.switch, lab=self._lab))
            )
            files.write([acl_file(wanted)])
        except OSError as error:
            return {v.gateway: f"TRUNKLINE_GATEWAY_DIR: {error}" for v in wanted}
        # Even if it is what was there: whoever wrote it may have died before the switch read it.
        self._board.link.call(commands.acl_reload())
        self._reload({version.gateway: version for version in wanted if version.gateway not in failed})
        return failed

    def _reload(self, wanted: dict[str, Version]) -> None:
        """What is loaded with other parameters is killed first, if no call is on it: a rescan leaves it as it is."""
        seen = self._seen()
        wrong = [f.gateway for f in compare(list(wanted.values()), seen, ()) if f.what == "differs"]
        if wrong:
            here = self._channels()
            for gateway in wrong:
                if gateways.users(self._board.db, self._board.settings.switch, gateway, here) == 0:
                    self._board.link.call(commands.gateway_kill(gateway))
                    del seen[gateway]
        if wanted.keys() <= seen.keys():
            return
        self._board.link.call(commands.gateway_rescan())
        deadline = time.monotonic() + LOAD_S
        while time.monotonic() < deadline and not wanted.keys() <= self._seen().keys():
            gevent.sleep(_POLL_S)

    def _strangers(self, wanted: Sequence[Version]) -> list[Finding]:
        """Addresses of carriers that the switch would not let call in."""
        findings = []
        for host, gateway in sorted({str(literal_address(v.params["proxy"])[0]): v.gateway for v in wanted}.items()):
            if self._board.link.call(doctor_commands.acl(host, ACL)) != "true":
                findings.append(Finding(gateway, "acl", f"{host} may not call in: the list of addresses lacks {ACL_FILE}"))
        return findings

    def _kill_unused(self) -> None:
        name, db = self._board.settings.switch, self._board.db
        retired = gateways.retired_here(db, name, SETTLE_S)
        if not retired:
            return
        here = self._channels()
        unused = [gateway for gateway in retired if not gateways.users(db, name, gateway, here)]
        files = GatewayFiles(self._board.settings.gateway_dir) if self._board.settings.gateway_dir else None
        if unused and files is not None:
            # Before any of them is said to be gone, so that a turn that is cut short does this again.
            files.write(
                [acl_file(version for version in gateways.wanted(db, name, lab=self._lab) if version.retired_at is None)]
            )
            self._board.link.call(commands.acl_reload())
        for gateway in unused:
            if files is not None:
                files.remove(gateway)
            if gateway in self._seen():
                self._board.link.call(commands.gateway_kill(gateway))
            gateways.put_loads(db, name, {gateway: ("gone", "")}, datetime.now(UTC))
            log.info("gateway killed at 0 calls", extra={"gateway": gateway, "switch": name})

    def _channels(self) -> list[UUID]:
        """The ids of all channels that the switch has; it lags by up to a second, for which Postgres' rows stand in."""
        found = []
        for row in esl_replies.each_channel(self._board.link.call(commands.show_channels())):
            try:
                found.append(UUID(row.get("uuid", "")))
            except ValueError:
                continue  # an inbound leg may be called anything
        return found
