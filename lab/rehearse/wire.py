"""The line to Redis of a rehearsal: every script on the virtual clock, its wake-ups handed over in the same answer.

The scripts are the budget's own, text for text, behind a ``redis.call`` that keeps the server's chance out of it: sets are
read in order, a random member is chosen by the virtual clock, and what is published is put down in a list instead, which is
read together with the script's reply. So a seed gives the same run every time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import resources
from typing import Any

import hiredis
from redis import Redis
from redis.connection import ConnectionPool
from redis.exceptions import ResponseError

from budget.scripts import HEAD, PREFIX, on_virtual_time, source
from lab.rehearse.clock import Clock

_CALL = "local call = redis.call"
_NOW = f"{PREFIX}now"
_TOLD = f"{PREFIX}told"
#: Commands kept for the next question, at most.
POSTED = 200
#: us; what was posted is sent after this at the latest.
POSTED_US = 1_000

_CALM = f"""local redis_call = redis.call
local function call(name, ...)
  if name == 'PUBLISH' then
    local _, text = ...
    return redis_call('RPUSH', '{_TOLD}', text)
  elseif name == 'SMEMBERS' then
    local found = redis_call(name, ...)
    table.sort(found)
    return found
  elseif name == 'SPOP' then
    local key, count = ...
    local found = redis_call('SMEMBERS', key)
    table.sort(found)
    local first, chosen = tonumber(redis_call('GET', '{_NOW}')), {{}}
    for i = 1, math.min(tonumber(count), #found) do
      chosen[i] = found[(first + i) % #found + 1]
    end
    if #chosen > 0 then
      redis_call('SREM', key, unpack(chosen))
    end
    return chosen
  end
  return redis_call(name, ...)
end"""


def calm(text: str) -> str:
    """The same script without the server's chance. ValueError when the script does not look as expected."""
    if text.count(_CALL) != 1:
        raise ValueError(f"wire: expected one {_CALL!r} in the head of the budget's scripts")
    return text.replace(_CALL, _CALM)


class _Pipe:
    """As much of a redis-py pipeline as the budget uses: commands by their names, raw replies."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._commands: list[tuple[Any, ...]] = []

    def eval(self, text: str, keys: int, *args: Any) -> None:
        self._commands.append(self._wire.script(hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest(), args))

    def evalsha(self, sha: str, keys: int, *args: Any) -> None:
        self._commands.append(self._wire.script(sha, args))

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args: self._commands.append((name.upper(), *args))

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        """An error is raised either way: here none is expected, and the wire knows every script."""
        commands, self._commands = self._commands, []
        return self._wire.ask(*commands)


class Wire(Redis):
    """A Redis client for the budget. ``heard(texts)`` gets the wake-ups, in order, after each answer.

    The database must be empty and nobody else's: scripts find the virtual clock in it.
    """

    def __init__(self, url: str, clock: Clock, heard: Callable[[list[str]], None]) -> None:
        super().__init__(connection_pool=ConnectionPool.from_url(url, socket_timeout=30.0))
        self._clock, self._heard = clock, heard
        self._line: Any = self.connection_pool.get_connection()
        self._posting: int | None = None
        self._posted: list[tuple[Any, ...]] = []
        self._expected: list[int | None] = []
        self._stamp = 0
        self.posted_at: int | None = None
        #: Round trips, and posted scripts that did not answer as expected.
        self.trips = self.surprises = 0
        self._ours: dict[str, str] = {}
        if self.dbsize():
            raise ValueError("wire: the rehearsal needs an empty Redis database of its own")
        for file in (resources.files("budget") / "lua").iterdir():
            name = file.name.removesuffix(".lua")
            if name not in HEAD and file.name.endswith(".lua"):
                text, sha = source(name, virtual=True)
                self._ours[sha] = str(self.script_load(calm(text)))
        on_virtual_time(self)

    def script(self, sha: str, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The command that runs our version of a script of the budget."""
        return ("EVALSHA", self._ours[sha], 0, *args)

    def evalsha(self, sha: str, numkeys: int, *keys_and_args: Any) -> Any:
        command = self.script(sha, keys_and_args)
        if self._posting is not None:
            self.post(command, self._posting)
            return self._posting
        return self.ask(command)[0]

    def pipeline(self, transaction: Any = True, shard_hint: Any = None) -> Any:
        return _Pipe(self)

    def execute_command(self, *args: Any, **options: Any) -> Any:
        if self._posted:
            self.ask()
        return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]

    @contextmanager
    def posted(self, expected: int) -> Iterator[None]:
        """A script run inside is sent with the next question; one that does not answer ``expected`` is a surprise."""
        self._posting = expected
        try:
            yield
        finally:
            self._posting = None

    def post(self, command: tuple[Any, ...], expected: int | None = None) -> None:
        """Sends a command of this moment with the next question."""
        if self.posted_at is None:
            self.posted_at = self._clock.now
        self._tick(self._posted, self._expected)
        self._posted.append(command)
        self._expected.append(expected)
        if len(self._posted) >= POSTED:
            self.ask()

    def _tick(self, commands: list[tuple[Any, ...]], expected: list[int | None]) -> None:
        if self._clock.now != self._stamp:
            self._stamp = self._clock.now
            commands.append(("SET", _NOW, self._stamp))
            expected.append(None)

    def ask(self, *commands: tuple[Any, ...]) -> list[Any]:
        """Sends what was posted, then ``commands``; returns the replies to these. Raises the first error."""
        batch, expected = self._posted, self._expected
        self._posted, self._expected, self.posted_at = [], [], None
        self._tick(batch, expected)
        batch += commands
        batch.append(("LPOP", _TOLD, 1_000_000))
        self._line.send_packed_command([b"".join(map(hiredis.pack_command, batch))])
        replies = [self._reply() for _ in batch]
        self.trips += 1
        for reply in replies:
            if isinstance(reply, ResponseError):
                raise reply
        for reply, wanted in zip(replies, expected, strict=False):
            self.surprises += wanted is not None and reply != wanted
        told = replies.pop()
        if told:
            self._heard([text.decode() for text in told])
        return replies[len(expected) :]

    def _reply(self) -> Any:
        try:
            return self._line.read_response()
        except ResponseError as error:
            return error

    def wipe(self) -> None:
        """Redis forgets everything but the clock."""
        self.ask()
        for pattern in (f"{PREFIX}*", "rq:*"):
            while keys := [key for key in self.scan_iter(match=pattern, count=1000) if key != _NOW.encode()]:
                for i in range(0, len(keys), 1000):
                    self.unlink(*keys[i : i + 1000])

    def set_clock(self) -> None:
        """Somebody has removed the virtual clock with everything else of the budget: it is set again."""
        self._stamp = 0

    def hang_up(self) -> None:
        """Ends the connections."""
        self.connection_pool.release(self._line)
        self.close()
