"""A pump's own line to Redis. Permits are asked for more often than anything else, and always the same way: over one
connection that is kept, with a request that is packed but for two numbers. That takes a third of a client call through the
pool.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self
from uuid import UUID

from redis import Redis
from redis.exceptions import NoScriptError

from budget.permits import Answer, read_answer, request, terms
from budget.scripts import script
from settings import Settings


class Line:
    """Permits of one carrier for one switch. One user at a time: a greenlet, a thread.

    The connection is made by ``redis``' pool, so it has that client's deadlines, and on each new connection its look at
    who answers. After an error it is made anew at the next request.
    """

    def __init__(self, redis: Redis, settings: Settings, carrier_id: UUID, switch: str) -> None:
        self._pool = redis.connection_pool
        self._terms = terms(settings)
        self._text, sha = script(redis, "grant")
        self._names = (str(carrier_id), switch)
        carrier, name = (word.encode() for word in self._names)
        self._begin = b"*6\r\n$7\r\nEVALSHA\r\n$40\r\n%b\r\n$1\r\n0\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n$64\r\n" % (
            sha.encode(), len(carrier), carrier, len(name), name
        )  # fmt: skip
        self._connection: Any = None

    def grant(self, *, want: int = 1, lead_us: int | None = None) -> Answer:
        """As :func:`budget.permits.grant`. Raises ``RedisError`` when Redis is away: then nothing is dialed.

        Nothing is sent twice: of a request whose answer is lost nobody knows whether it was granted.
        """
        numbers = request(self._terms, want, lead_us)
        connection = self._connection
        if connection is None:
            connection = self._connection = self._pool.get_connection()
        connection.send_packed_command((b"%b%b\r\n" % (self._begin, numbers),))
        try:
            reply = connection.read_response()
        except NoScriptError:
            connection.send_command("EVAL", self._text, 0, *self._names, numbers)
            reply = connection.read_response()
        return read_answer(reply)

    def close(self) -> None:
        """Gives the connection back to the pool."""
        if self._connection is not None:
            self._pool.release(self._connection)
            self._connection = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
