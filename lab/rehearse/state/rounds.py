"""What a controller of a rehearsal asks its switch, and what it does about the answers: reconcile and commands.

The order of the questions is that of controller/reconcile.py and controller/hangups.py; what an answer means is said by
calls.watch, as there. Between the list of channels and the rows some milliseconds pass, in which anything may happen.
"""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from budget import permits
from calls import watch
from calls.evidence import State
from lab.rehearse.clock import SECOND
from lab.rehearse.state.books import Command
from lab.rehearse.state.controller import Controller, Mind
from lab.rehearse.state.desk import moment
from store.rows import Attempt as Row

#: us; from the list of channels to the rows; a notification's way; between two looks at open commands.
BETWEEN_US, NOTIFY_US, SWEEP_US = 40_000, 5_000, 2 * SECOND


class Rounds:
    """Of one controller's switch; a new controller begins with :meth:`begin`."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._house = controller.house
        self._asked = 0

    def begin(self, mind: Mind) -> None:
        """A controller is there: it catches up with whatever happened before."""
        self._next(mind, 0)
        self._house.clock.after(SWEEP_US, self._sweep_again, mind)

    def now_please(self) -> None:
        """Events may have been missed, or somebody is told to be absent: at once."""
        mind = self._controller.mind
        if mind is not None:
            mind.catch_up = True
            self._next(mind, 0)

    def _next(self, mind: Mind, us: int) -> None:
        self._asked += 1
        self._house.clock.after(us, self._pass, (mind, self._asked))

    def _pass(self, what: tuple[Mind, int]) -> None:
        mind, asked = what
        if mind is not self._controller.mind or asked != self._asked:
            return  # gone, or asked for again since
        settings = self._house.settings
        self._next(mind, int(settings.reconcile_interval_s * SECOND))
        if self._controller.linked and not self._house.away:
            catch_up, mind.catch_up = mind.catch_up, False
            listed = self._controller.switch.listed()
            self._house.clock.after(self._house.random.randint(1_000, BETWEEN_US), self._compare, (mind, listed, catch_up))

    def _compare(self, what: tuple[Mind, set[UUID], bool]) -> None:
        mind, listed, catch_up = what
        if mind is not self._controller.mind:
            return
        if not self._controller.linked or self._house.away:
            mind.catch_up = mind.catch_up or catch_up
            return
        switch, now = self._controller.switch, self._house.now
        rows = {row.id: row for row in self._house.books.live(switch.name)}
        present: list[Row] = []
        skipped: set[UUID] = set()
        for id_, row in rows.items():
            missed = catch_up or id_ in mind.skipped
            age_s = None if row.claimed_at is None else (now - row.claimed_at).total_seconds()
            doing = watch.look(age_s, listed=id_ in listed, missed=missed)
            if doing is watch.Look.YOUNG:
                if missed:
                    skipped.add(id_)
            elif doing is watch.Look.PRESENT or switch.exists(id_):
                mind.suspects.pop(id_, None)
                present.append(row)
                if missed and row.state != State.IN_PROGRESS:
                    far = switch.how_far(id_)
                    if far is not None:
                        self._controller.record(far)
            else:
                self._suspect(mind, row)
        mind.skipped = skipped
        mind.suspects = {id_: since for id_, since in mind.suspects.items() if id_ in rows}
        self._count(present)
        self._kill_orphans(mind, listed - set(rows))
        self._free_leaks(mind, set(rows) | listed)
        if mind.suspects or mind.orphans or mind.leaks or mind.skipped:
            self._next(mind, int(watch.ROUND_S * SECOND))

    def _suspect(self, mind: Mind, row: Row) -> None:
        clock, switch = self._house.clock, self._controller.switch
        waited_s = (clock.now - mind.suspects.setdefault(row.id, clock.now)) / SECOND
        if not watch.ripe(waited_s, waits=row.id in mind.waits, backlog=False):
            return
        since = moment(switch.core_since)
        cause = watch.absent(
            waited_s, tombstone=row.id in switch.tombstones, claimed_at=row.claimed_at, core_since=since,
            grace_s=self._house.settings.esl_grace_s,
        )  # fmt: skip
        if cause is None:
            return
        mind.suspects.pop(row.id, None)
        self._controller.record(
            watch.gone(
                row.id, cause, self._house.now, ringing_at=row.ringing_at, answered_at=row.answered_at,
                requested_by=mind.kills.get(row.id), restarted=watch.restarted_under(row.claimed_at, since),
            )
        )  # fmt: skip

    def _count(self, present: Iterable[Row]) -> None:
        """Each channel that is up holds a lease."""
        house = self._house
        rows = list(present)
        if not rows or permits.renew(house.wire, house.settings, [row.id for row in rows]) == len(rows):
            return
        for row in rows:
            assert row.carrier_id is not None
            assert row.fence is not None
            lease = permits.Lease(row.id, row.fence, row.carrier_id, self._controller.switch.name)
            if permits.adopt(house.wire, house.settings, lease, row.lane):
                house.witness.seen["leases adopted"] += 1
                if watch.leaked(house.books.attempts[row.id].state):
                    permits.release(house.wire, row.id, row.fence, linger_us=0)

    def _kill_orphans(self, mind: Mind, unknown: set[UUID]) -> None:
        now, switch = self._house.clock.now, self._controller.switch
        for id_ in sorted(unknown):
            if not watch.stray((now - mind.orphans.setdefault(id_, now)) / SECOND, waits=id_ in mind.waits):
                continue
            row = self._house.books.attempts.get(id_)
            far = switch.how_far(id_) if row is not None and row.state == State.ENDED else None
            if row is not None and watch.must_end(row.state, None if far is None else far.state):
                self._house.witness.seen["stray channels hung up"] += 1
                switch.kill(id_, "platform")
        mind.orphans = {id_: since for id_, since in mind.orphans.items() if id_ in unknown}

    def _free_leaks(self, mind: Mind, alive: set[UUID]) -> None:
        name, books, now = self._controller.switch.name, self._house.books, self._house.clock.now
        leaks, mind.leaks = mind.leaks, {}
        for id_, fence, carrier, popped in self._controller.floor.leases(name):
            row = books.attempts.get(id_)
            if id_ not in alive and not popped and watch.leaked(None if row is None else row.state):
                since = leaks.get(id_, now)
                if not watch.ripe((now - since) / SECOND, waits=id_ in mind.waits, backlog=False):
                    mind.leaks[id_] = since
                    continue
                self._house.witness.seen["leaked leases freed"] += 1
                self._controller.floor.release(id_, fence, carrier, None)
                self._controller.switch.tombstones.pop(id_, None)

    # --- commands -------------------------------------------------------------------------------------------------

    def notify(self) -> None:
        """A command was written for this switch."""
        self._house.clock.after(NOTIFY_US, self._sweep, self._controller.mind)

    def _sweep_again(self, mind: Mind) -> None:
        if mind is self._controller.mind:
            self._house.clock.after(SWEEP_US, self._sweep_again, mind)
            self._sweep(mind)

    def _sweep(self, mind: Mind | None) -> None:
        if mind is None or mind is not self._controller.mind or not self._controller.linked or self._house.away:
            return
        books = self._house.books
        for command in [c for c in books.commands if c.switch in (self._controller.switch.name, None)]:
            row = books.attempts[command.attempt_id]
            if row.state == State.ENDED:
                mind.kills.pop(row.id, None)
                books.finish(command, "already ended")
            elif command.verb == "probe":
                self._probe(mind, command, State(row.state))
            else:
                mind.kills[row.id] = command.requested_by
                if self._controller.switch.kill(row.id, command.requested_by):
                    mind.kills.pop(row.id, None)
                    books.finish(command, "killed")

    def _probe(self, mind: Mind, command: Command, believed: State) -> None:
        id_ = command.attempt_id
        if id_ in mind.waits:
            return
        far = self._controller.switch.how_far(id_)
        comes_to = watch.probed(believed, None if far is None else far.state)
        if far is None:
            self.now_please()
        elif comes_to is watch.Probed.ALIVE:
            self._controller.record(far)
        elif not self._controller.switch.kill(id_, "platform"):
            return
        self._house.witness.seen[f"probes: {comes_to}"] += 1
        self._house.books.finish(command, comes_to)
