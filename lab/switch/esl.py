"""The event socket: framing, auth, commands in the order they came, events between them (mod_event_socket)."""

from __future__ import annotations

import asyncio
import hmac
import uuid
from collections import deque
from collections.abc import Coroutine
from typing import TYPE_CHECKING, cast

from lab.switch import sendmsg
from lab.switch.directory import EslUser
from lab.switch.events import Event, Listener, Subscription

if TYPE_CHECKING:
    from lab.switch.core import Switch

_GOODBYE = "Disconnected, goodbye.\nSee you at ClueCon! http://www.cluecon.com/\n"
_MAX_FRAME = 10 * 1024 * 1024
# FreeSWITCH queues 100,000 events for a listener, drops what is above and kills it after 500 losses.
_MAX_BACKLOG_BYTES = 256 * 1024 * 1024
_MAX_LOST = 500
_DENIED = "-ERR permission denied"
_EVERYTHING = EslUser(password="")


class EslConnection(asyncio.Protocol, Listener):
    """One client."""

    def __init__(self, switch: Switch) -> None:
        self.switch = switch
        self.subscription = Subscription()
        self.authorised = False
        self.user = _EVERYTHING
        self.transport: asyncio.Transport
        self.lost_events = 0
        self._buffer = bytearray()
        self._waiting: deque[tuple[str, dict[str, str], str]] = deque()
        self._busy = False
        self.closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's own kind
        self.switch.connections.add(self)
        self.switch.bus.listeners.append(self)
        self._write(b"Content-Type: auth/request\n\n")

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self.switch.connections.discard(self)
        if self in self.switch.bus.listeners:
            self.switch.bus.listeners.remove(self)
        self._waiting.clear()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) > _MAX_FRAME:
            self.cut()
            return
        while (frame := self._next_frame()) is not None:
            self._waiting.append(frame)
        self._pump()

    def _next_frame(self) -> tuple[str, dict[str, str], str] | None:
        """Command line, its headers, its body (Content-Length); a frame ends at an empty line."""
        buffer = self._buffer
        while buffer and buffer[0] in b"\r\n":
            del buffer[0]
        end = buffer.find(b"\n\n")
        crlf = buffer.find(b"\n\r\n")
        skip = 2
        if crlf >= 0 and (end < 0 or crlf < end):
            end, skip = crlf, 3
        if end < 0:
            return None
        lines = bytes(buffer[:end]).decode("utf-8", "replace").split("\n")
        headers: dict[str, str] = {}
        for line in lines[1:]:
            name, colon, value = line.rstrip("\r").partition(":")
            if colon:
                headers.setdefault(name.strip().lower(), value.strip())
        length = int(headers["content-length"]) if headers.get("content-length", "").isdigit() else 0
        if len(buffer) < end + skip + length:
            return None
        body = bytes(buffer[end + skip : end + skip + length]).decode("utf-8", "replace")
        del buffer[: end + skip + length]
        return lines[0].rstrip("\r"), headers, body

    def _pump(self) -> None:
        """Commands of one connection are served one after another; an `api` that waits holds the next ones."""
        while self._waiting and not self._busy and not self.closed:
            command, headers, body = self._waiting.popleft()
            pending = self._serve(command, headers, body)
            if pending is not None:
                self._busy = True
                task = self.switch.spawn(pending)
                task.add_done_callback(self._resume)

    def _resume(self, _task: asyncio.Task[None]) -> None:
        self._busy = False
        if not self.closed:
            self._pump()

    def _serve(self, command: str, headers: dict[str, str], body: str) -> Coroutine[object, object, None] | None:
        word, _, rest = command.partition(" ")
        word = word.lower()
        if word in ("exit", "..."):
            self._say_goodbye("+OK bye")
            return None
        if not self.authorised:
            self._authorise(word, rest)
            return None
        if word in ("api", "bgapi") and not self.user.may_call(rest.partition(" ")[0]):
            self.reply(_DENIED)
            return None
        if word == "api":
            return self._api(rest)
        if word == "bgapi":
            self._bgapi(rest, headers)
            return None
        self.reply(self._simple(word, rest, headers, body))
        return None

    def _simple(self, word: str, rest: str, headers: dict[str, str], body: str) -> str:
        handlers = {"event": self._event, "nixevent": self._nixevent, "filter": self._filter}
        if word in handlers:
            return handlers[word](rest)
        if word == "noevents":
            was_active = self.subscription.active
            self.subscription.clear()
            return "+OK no longer listening for events" if was_active else "-ERR not listening for events"
        if word in ("linger", "nolinger"):
            return "-ERR not controlling a session"
        if word == "sendmsg":
            return sendmsg.handle(self.switch, rest.strip(), headers, body)
        if word == "log":
            return f"+OK log level {rest or 'DEBUG'}" if self.user.log else _DENIED
        if word == "nolog":
            return "+OK no longer logging"
        return "-ERR command not found"

    def _authorise(self, word: str, rest: str) -> None:
        if word == "auth" and hmac.compare_digest(rest.encode(), self.switch.config.password.encode()):
            self.authorised = True
            self.reply("+OK accepted")
        elif word == "userauth" and (user := self._user(rest)) is not None:
            self.authorised = True
            self.user = user
            self._write(user.accepted())
        elif word in ("auth", "userauth"):
            self._say_goodbye("-ERR invalid")
        else:
            self.reply("-ERR command not found")

    def _user(self, login: str) -> EslUser | None:
        name, _, password = login.partition(":")
        user = self.switch.config.users.get(name)
        if user is None or not user.password or not hmac.compare_digest(password.encode(), user.password.encode()):
            return None
        return user

    def _event(self, rest: str) -> str:
        words = rest.split()
        if words and words[0].lower() in ("plain", "json", "xml"):
            self.subscription.form = words.pop(0).lower()
        else:
            self.subscription.form = "plain"
        if not words:
            return "-ERR no keywords supplied"
        if self.user.refused_event(words):
            return _DENIED
        self.subscription.add(words)
        return f"+OK event listener enabled {self.subscription.form}"

    def _nixevent(self, rest: str) -> str:
        if not rest.split():
            return "-ERR no keywords supplied"
        self.subscription.remove(rest.split())
        return "+OK events nixed"

    def _filter(self, rest: str) -> str:
        name, _, value = rest.strip().partition(" ")
        filters = self.subscription.filters
        if name.lower() == "delete" and value:
            name, _, value = value.partition(" ")
            if name.lower() == "all":
                filters.clear()
            else:
                filters[:] = [f for f in filters if f[0].lower() != name.lower() or (value and f[1] != value)]
            return f"+OK filter deleted. [{name}][{value}]"
        if not value:
            return "-ERR invalid syntax"
        if name.lower() == "add":
            name, _, value = value.partition(" ")
        filters.append((name, value))
        return f"+OK filter added. [{name}]=[{value}]"

    async def _api(self, line: str) -> None:
        text = await self.switch.run_api(line)
        if not self.switch.faults.swallow_reply():
            self._write_api(text)

    def _write_api(self, text: str) -> None:
        body = (text or "-ERR no reply\n").encode()
        self._write(b"Content-Type: api/response\nContent-Length: %d\n\n" % len(body) + body)

    def _bgapi(self, line: str, headers: dict[str, str]) -> None:
        job = headers.get("job-uuid") or str(uuid.uuid4())
        if not self.switch.faults.swallow_reply():
            self._write(f"Content-Type: command/reply\nReply-Text: +OK Job-UUID: {job}\nJob-UUID: {job}\n\n".encode())
        self.switch.start_job(job, line)

    def reply(self, text: str) -> None:
        if not self.switch.faults.swallow_reply():
            self._write(f"Content-Type: command/reply\nReply-Text: {text}\n\n".encode())

    def deliver(self, event: Event) -> None:
        for delay, frame in self.switch.faults.events(event.frame(self.subscription.form)):
            if delay > 0:
                self.switch.loop.call_later(delay, self._write_event, frame)
            else:
                self._write_event(frame)

    def _write_event(self, frame: bytes) -> None:
        if self.closed:
            return
        if self.transport.get_write_buffer_size() > _MAX_BACKLOG_BYTES:
            self.lost_events += 1
            if self.lost_events > _MAX_LOST:
                self.cut()
            return
        self._write(frame)

    def _write(self, data: bytes) -> None:
        if not self.closed:
            self.transport.write(data)

    def _say_goodbye(self, text: str) -> None:
        self.reply(text)
        self._write(f"Content-Type: text/disconnect-notice\nContent-Length: {len(_GOODBYE)}\n\n{_GOODBYE}".encode())
        self.closed = True
        self.transport.close()

    def cut(self) -> None:
        """Reset the connection without a word."""
        self.closed = True
        self.transport.abort()
