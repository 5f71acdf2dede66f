"""What the relay reads from and writes to Postgres. The store is synchronous, so it is asked in threads."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal, Protocol, TypeVar
from uuid import UUID

import psycopg

from calls.script import Outcome
from settings import Settings
from store import call_actions, commands, holds, menus, queue, recordings, transfers
from store import relay as rows
from store.pool import Database

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Facts that may wait for Postgres; past it the newest are dropped, for they explain a call but do not decide it.
_NOTES = 10_000
_THREADS = 4


#: Of a recording: it is to be made, the switch writes it, the switch has closed it.
Step = Literal["expected", "started", "stopped"]


class BookClosed(Exception):
    """Postgres did not answer."""


class Book(Protocol):
    """Who the agent of an attempt is, and where facts go."""

    async def agent_for(self, attempt: UUID) -> rows.RelayCall | None:
        """The call behind the attempt, or None. Raises :class:`BookClosed`."""
        ...

    async def live(self) -> list[UUID]:
        """Attempts that were claimed for this switch and have not ended. Raises :class:`BookClosed`."""
        ...

    def note(self, attempt: UUID, type_: str, at: datetime, data: Mapping[str, Any]) -> None:
        """Record a fact of the attempt; never waits."""
        ...

    def hang_up(self, attempt: UUID, by: str) -> None:
        """Put on record that the agent or the platform wants the attempt's end; never waits."""
        ...

    def recording(self, attempt: UUID, step: Step, at: datetime) -> None:
        """Record how far the recording of the attempt is; never waits."""
        ...

    def played(self, attempt: UUID, action: UUID, result: str) -> None:
        """Record what came of a file that was asked for (store.call_actions); never waits."""
        ...

    async def transfer(self, call: rows.RelayCall, to: str | UUID, action: str | None, by: str) -> transfers.Asked:
        """Ask for a second leg to whom the callee is put through, or (an agent's id) for another agent. Raises
        :class:`BookClosed`, ``OtherAction``.
        """
        ...

    async def open_transfers(self) -> list[transfers.Open]:
        """Those of this switch's calls that are under way. Raises :class:`BookClosed`."""
        ...

    async def hold(
        self, call: rows.RelayCall, verb: call_actions.Verb, audio: str | None, action: str, by: str
    ) -> call_actions.Asked:
        """Ask for a hold or a resume. Raises :class:`BookClosed`, ``OtherAction``."""
        ...

    async def open_holds(self) -> list[holds.Wish]:
        """Those of this switch's calls that are not over. Raises :class:`BookClosed`."""
        ...

    def held(self, attempt: UUID, command: UUID) -> None:
        """Record that the call is on hold; never waits."""
        ...

    def finish(self, attempt: UUID, command: UUID, result: str) -> None:
        """Record what came of a hold or a resume; never waits."""
        ...

    def put_through(self, attempt: UUID) -> None:
        """Record that whoever answered this second leg is put through; never waits."""
        ...

    def not_transferred(self, transfer: transfers.Open, reason: str) -> None:
        """Record why a second leg came to nothing; never waits."""
        ...

    def handed_on(self, attempt: UUID, transfer: transfers.Open) -> None:
        """Record that another agent talks now; never waits."""
        ...

    def call_off(self, attempt: UUID) -> None:
        """The attempt is over: let nobody be rung for it any more; never waits."""
        ...

    async def chosen(self, attempt: UUID, outcome: Outcome, key: str | None, at: datetime) -> None:
        """Record what the callee chose in a menu. Returns when it is on record, or, while Postgres is away, will be."""
        ...


@dataclass(frozen=True, slots=True)
class _Wish:
    attempt: UUID
    by: str


@dataclass(frozen=True, slots=True)
class _Note:
    attempt: UUID
    type: str
    at: datetime
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Recorded:
    attempt: UUID
    step: Step
    at: datetime


@dataclass(frozen=True, slots=True)
class _Played:
    attempt: UUID
    action: UUID
    result: str


@dataclass(frozen=True, slots=True)
class _Chosen:
    attempt: UUID
    outcome: Outcome
    key: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class _Transfer:
    """``put_through``: of the second leg's attempt; ``call_off``: of the first one's."""

    attempt: UUID
    step: Literal["put_through", "call_off"]


@dataclass(frozen=True, slots=True)
class _Held:
    attempt: UUID
    command: UUID


@dataclass(frozen=True, slots=True)
class _Finished:
    attempt: UUID
    command: UUID
    result: str


@dataclass(frozen=True, slots=True)
class _HandedOn:
    attempt: UUID
    transfer: transfers.Open


_Item = _Note | _Wish | _Recorded | _Played | _Chosen | _Transfer | _Held | _Finished | _HandedOn
_STEPS: dict[Step, Callable[[Database, UUID, datetime], object]] = {
    "expected": recordings.expect,
    "started": recordings.started,
    "stopped": recordings.stopped,
}


def _write(db: Database, item: _Item) -> None:
    if isinstance(item, _Recorded):
        _STEPS[item.step](db, item.attempt, item.at)
    elif isinstance(item, _Played):
        call_actions.played(db, item.attempt, item.action, item.result, datetime.now(UTC))
    elif isinstance(item, _Transfer):
        {"put_through": transfers.bridged, "call_off": transfers.call_off}[item.step](db, item.attempt, datetime.now(UTC))
    elif isinstance(item, _HandedOn):
        transfers.handed_on(db, item.transfer, datetime.now(UTC))
    elif isinstance(item, _Held):
        call_actions.begun(db, item.command, datetime.now(UTC))
    elif isinstance(item, _Finished):
        commands.finish(db, item.command, item.result, datetime.now(UTC))
    elif isinstance(item, _Chosen):
        menus.chosen(db, item.attempt, item.outcome, item.key, item.at, datetime.now(UTC))
    elif isinstance(item, _Wish):
        commands.add(db, item.attempt, None, "hangup", item.by, now=datetime.now(UTC))
    else:
        rows.note(db, item.attempt, item.type, item.at, dict(item.data))


def terms(settings: Settings) -> transfers.Terms:
    """Those of every transfer that an agent asks for."""
    return transfers.Terms(settings.transfer_wait_s, settings.ring_timeout_s, settings.pdd_s, settings.recipient_time_zone)


class StoreBook:
    """:class:`Book` on Postgres. :meth:`run` writes the facts, in order."""

    def __init__(self, db: Database, switch: str, terms: transfers.Terms) -> None:
        self._db = db
        self._switch = switch
        self._terms = terms
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="book")
        self._notes: asyncio.Queue[_Item] = asyncio.Queue(_NOTES)

    async def agent_for(self, attempt: UUID) -> rows.RelayCall | None:
        try:
            return await self._run(rows.agent_for, self._db, attempt)
        except psycopg.Error as error:
            raise BookClosed(str(error)) from error

    async def live(self) -> list[UUID]:
        try:
            return [row.attempt_id for row in await self._run(queue.list_live, self._db, self._switch)]
        except psycopg.Error as error:
            raise BookClosed(str(error)) from error

    def note(self, attempt: UUID, type_: str, at: datetime, data: Mapping[str, Any]) -> None:
        self._put(_Note(attempt, type_, at, data), type_)

    def hang_up(self, attempt: UUID, by: str) -> None:
        self._put(_Wish(attempt, by), "hangup")

    def recording(self, attempt: UUID, step: Step, at: datetime) -> None:
        self._put(_Recorded(attempt, step, at), f"recording {step}")

    def played(self, attempt: UUID, action: UUID, result: str) -> None:
        self._put(_Played(attempt, action, result), "played")

    async def transfer(self, call: rows.RelayCall, to: str | UUID, action: str | None, by: str) -> transfers.Asked:
        who, now = (self._db, call.tenant_id, call.call_id), datetime.now(UTC)
        if isinstance(to, UUID):
            asked = partial(transfers.request_agent, *who, to, by, now, action=action)
        else:
            asked = partial(transfers.request_transfer, *who, to, by, now, self._terms, action=action)
        try:
            return await self._run(asked)
        except psycopg.Error as error:
            raise BookClosed(str(error)) from error

    async def open_transfers(self) -> list[transfers.Open]:
        try:
            return await self._run(transfers.list_open, self._db, self._switch)
        except psycopg.Error as error:
            raise BookClosed(str(error)) from error

    async def hold(
        self, call: rows.RelayCall, verb: call_actions.Verb, audio: str | None, action: str, by: str
    ) -> call_actions.Asked:
        args = {} if audio is None else {"audio": audio}
        who, now = (self._db, call.tenant_id, call.call_id), datetime.now(UTC)
        try:
            return await self._run(partial(call_actions.request_action, *who, verb, args, by, now, action=action))
        except psycopg.Error as error:
            raise BookClosed(str(error)) from error

    async def open_holds(self) -> list[holds.Wish]:
        try:
            return await self._run(holds.list_open, self._db, self._switch)
        except psycopg.Error as error:
            raise BookClosed(str(error)) from error

    def held(self, attempt: UUID, command: UUID) -> None:
        self._put(_Held(attempt, command), "held")

    def finish(self, attempt: UUID, command: UUID, result: str) -> None:
        self._put(_Finished(attempt, command, result), result)

    def put_through(self, attempt: UUID) -> None:
        self._put(_Transfer(attempt, "put_through"), "put through")

    def not_transferred(self, transfer: transfers.Open, reason: str) -> None:
        self.finish(transfer.attempt_id, transfer.command_id, f"{transfers.NOT_TRANSFERRED}: {reason}")

    def handed_on(self, attempt: UUID, transfer: transfers.Open) -> None:
        self._put(_HandedOn(attempt, transfer), "handed on")

    def call_off(self, attempt: UUID) -> None:
        self._put(_Transfer(attempt, "call_off"), "call off")

    async def chosen(self, attempt: UUID, outcome: Outcome, key: str | None, at: datetime) -> None:
        item = _Chosen(attempt, outcome, key, at)
        try:
            await self._run(_write, self._db, item)
        except psycopg.OperationalError as error:
            log.warning("attempt %s: a choice waits for Postgres: %s", attempt, error)
            self._put(item, "chosen")

    def _put(self, item: _Item, what: str) -> None:
        try:
            self._notes.put_nowait(item)
        except asyncio.QueueFull:
            log.error("attempt %s: %s not recorded, too much waits for Postgres", item.attempt, what)

    async def run(self) -> None:
        """Write facts until cancelled. Each is tried again while Postgres is away."""
        while True:
            note = await self._notes.get()
            while True:
                try:
                    await self._run(_write, self._db, note)
                    break
                except psycopg.OperationalError as error:
                    log.warning("facts wait for Postgres: %s", error)
                    await asyncio.sleep(1.0)
                except psycopg.Error:
                    log.exception("attempt %s: %s not recorded", note.attempt, note)
                    break
            self._notes.task_done()

    async def drain(self, timeout_s: float) -> None:
        """Wait until every fact is written; raises ``TimeoutError``."""
        async with asyncio.timeout(timeout_s):
            await self._notes.join()

    def close(self) -> None:
        """Give the threads back."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, fn: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, fn, *args)
