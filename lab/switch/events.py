"""Events as FreeSWITCH words them: header order, URL encoding, JSON, subscriptions and filters (mod_event_socket)."""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from json.encoder import encode_basestring
from typing import NamedTuple, Protocol
from urllib.parse import quote

Pairs = list[tuple[str, str]]

# switch_url_encode leaves these alone (seen in the traces).
_SAFE = "/,()~*!$'-_."


class Calling(NamedTuple):
    """Event-Calling-File, -Function, -Line-Number: who fired the event inside FreeSWITCH."""

    file: str
    function: str
    line: int


# Where 1.10.12 fires each event.
CALLING: dict[str, Calling] = {
    "CHANNEL_OUTGOING": Calling("switch_core_session.c", "switch_core_session_outgoing_channel", 768),
    "CHANNEL_STATE": Calling("switch_channel.c", "switch_channel_perform_set_running_state", 2408),
    "CHANNEL_CREATE": Calling("switch_core_state_machine.c", "switch_core_session_run", 626),
    "CHANNEL_ORIGINATE": Calling("switch_core_state_machine.c", "switch_core_session_run", 632),
    "CHANNEL_PROGRESS": Calling("switch_channel.c", "switch_channel_perform_mark_ring_ready_value", 3505),
    "CHANNEL_PROGRESS_MEDIA": Calling("switch_channel.c", "switch_channel_perform_mark_pre_answered", 3560),
    "CHANNEL_CALLSTATE": Calling("switch_channel.c", "switch_channel_perform_set_callstate", 301),
    "CODEC": Calling("switch_core_codec.c", "switch_core_session_set_real_read_codec", 211),
    "CHANNEL_ANSWER": Calling("switch_channel.c", "switch_channel_perform_mark_answered", 3846),
    "CALL_UPDATE": Calling("switch_channel.c", "switch_channel_flip_cid", 3277),
    "CHANNEL_EXECUTE": Calling("switch_core_session.c", "switch_core_session_exec", 2944),
    "CHANNEL_EXECUTE_COMPLETE": Calling("switch_core_session.c", "switch_core_session_exec", 2967),
    "CHANNEL_PARK": Calling("switch_ivr.c", "switch_ivr_park", 1002),
    "CHANNEL_UNPARK": Calling("switch_ivr.c", "switch_ivr_park", 1157),
    "CHANNEL_HANGUP": Calling("switch_channel.c", "switch_channel_perform_hangup", 3445),
    "CHANNEL_HANGUP_COMPLETE": Calling("switch_core_state_machine.c", "switch_core_session_reporting_state", 943),
    "CHANNEL_DESTROY": Calling("switch_core_session.c", "switch_core_session_perform_destroy", 1584),
    "CHANNEL_DATA": Calling("mod_commands.c", "uuid_dump_function", 6468),
    "BACKGROUND_JOB": Calling("mod_event_socket.c", "api_exec", 1572),
    "API": Calling("switch_loadable_module.c", "switch_api_execute", 3009),
    "HEARTBEAT": Calling("switch_core.c", "send_heartbeat", 95),
    "MEDIA_BUG_START": Calling("switch_core_media_bug.c", "switch_core_media_bug_add", 1014),
    "MEDIA_BUG_STOP": Calling("switch_core_media_bug.c", "switch_core_media_bug_destroy", 84),
    "PLAYBACK_START": Calling("switch_ivr_play_say.c", "switch_ivr_play_file", 1646),
    "PLAYBACK_STOP": Calling("switch_ivr_play_say.c", "switch_ivr_play_file", 2020),
    "RECORD_START": Calling("switch_ivr_async.c", "record_callback", 1481),
    "RECORD_STOP": Calling("switch_ivr_async.c", "send_record_stop_event", 1240),
    "DTMF": Calling("switch_channel.c", "switch_channel_dequeue_dtmf", 601),
    "CUSTOM": Calling("mod_audio_fork.c", "responseHandler", 22),
}


@functools.lru_cache(maxsize=8192)
def url_encode(value: str) -> str:
    return quote(value, safe=_SAFE)


@functools.lru_cache(maxsize=8192)
def _json_string(value: str) -> str:
    return encode_basestring(value)


@dataclass(slots=True)
class Event:
    """Headers in order (a name may occur twice), a body, and the serialised forms once they were asked for."""

    name: str
    subclass: str
    pairs: Pairs
    body: str | None = None
    _plain: bytes | None = None
    _json: bytes | None = None
    _index: dict[str, str] | None = None

    def header(self, name: str) -> str | None:
        """Case-insensitive, the first of that name."""
        if self._index is None:
            index: dict[str, str] = {}
            for key, value in self.pairs:
                index.setdefault(key.lower(), value)
            self._index = index
        return self._index.get(name.lower())

    def frame(self, form: str) -> bytes:
        """The whole ESL frame, `form` being `plain` or `json`."""
        if form == "json":
            if self._json is None:
                text = self.json_text().encode()
                self._json = b"Content-Length: %d\nContent-Type: text/event-json\n\n" % len(text) + text
            return self._json
        if self._plain is None:
            text = self.plain_text().encode()
            self._plain = b"Content-Length: %d\nContent-Type: text/event-plain\n\n" % len(text) + text
        return self._plain

    def plain_text(self) -> str:
        lines = [f"{key}: {url_encode(value)}\n" for key, value in self.pairs]
        if self.body is not None:
            lines.append(f"Content-Length: {len(self.body.encode())}\n")
        return "".join(lines) + "\n" + (self.body or "")

    def json_text(self) -> str:
        items = [f"{_json_string(key)}:{encode_basestring(value)}" for key, value in self.pairs]
        if self.body is not None:
            items.append(f'"Content-Length":"{len(self.body.encode())}"')
            items.append(f'"_body":{encode_basestring(self.body)}')
        return "{" + ",".join(items) + "}"


@dataclass(slots=True)
class Subscription:
    """What one ESL connection wants to hear."""

    form: str = "plain"
    everything: bool = False
    names: set[str] = field(default_factory=set)
    subclasses: set[str] = field(default_factory=set)
    filters: list[tuple[str, str]] = field(default_factory=list)
    active: bool = False

    def add(self, words: list[str]) -> None:
        """After CUSTOM every word is a subclass, as in `event json A B CUSTOM x::y`."""
        custom = False
        for word in words:
            if custom:
                self.subclasses.add(word)
            elif word.upper() == "ALL":
                self.everything = True
            else:
                self.names.add(word.upper())
                custom = word.upper() == "CUSTOM"
        self.active = True

    def remove(self, words: list[str]) -> None:
        custom = False
        for word in words:
            if custom:
                self.subclasses.discard(word)
            elif word.upper() == "ALL":
                self.everything = False
                self.names.clear()
                self.subclasses.clear()
            elif word.upper() == "CUSTOM":
                custom = True
                if word == words[-1]:
                    self.names.discard("CUSTOM")
            else:
                self.names.discard(word.upper())

    def clear(self) -> None:
        self.everything = self.active = False
        self.names.clear()
        self.subclasses.clear()

    def wants(self, name: str, subclass: str) -> bool:
        if not self.active:
            return False
        if self.everything:
            return True
        return name in self.names and (name != "CUSTOM" or not subclass or subclass in self.subclasses)

    def passes(self, event: Event) -> bool:
        """Filters are ORed over every event; a matching `-value` silences it; `/re/` is a regex. With filters set,
        an event that has none of their headers is not sent (so a variable filter also removes HEARTBEAT)."""
        if not self.filters:
            return True
        send = False
        for name, wanted in self.filters:
            value = event.header(name)
            if value is None:
                continue
            positive = True
            rest = wanted
            while rest and rest[0] in "+- ":
                positive = {"+": True, "-": False}.get(rest[0], positive)
                rest = rest[1:]
            if send and positive:
                continue
            if wanted.startswith("/"):
                matched = _regex_match(rest, value)
            else:
                matched = value.lower() == rest.lower()
            if matched:
                if not positive:
                    return False
                send = True
        return send


@functools.lru_cache(maxsize=256)
def _compiled(expression: str) -> re.Pattern[str] | None:
    body, _, flags = expression[1:].rpartition("/") if expression.count("/") > 1 else (expression[1:], "", "")
    try:
        return re.compile(body, re.IGNORECASE if "i" in flags else 0)
    except re.error:
        return None


def _regex_match(expression: str, value: str) -> bool:
    pattern = _compiled(expression)
    return pattern is not None and pattern.search(value) is not None


class EventBus:
    """Numbers every event of this core and hands it to the listeners that want it."""

    def __init__(self, core_uuid: str, hostname: str, wall: Callable[[], int]) -> None:
        self.core_uuid = core_uuid
        self.hostname = hostname
        self.sequence = 0
        self.listeners: list[Listener] = []
        self._wall = wall
        self._second = -1
        self._local = self._gmt = ""

    def fire(
        self,
        name: str,
        build: Callable[[], Pairs],
        *,
        body: str | None = None,
        subclass: str = "",
        calling: Calling | None = None,
    ) -> None:
        """Fire an event; `build` makes its own headers and is called only when somebody listens."""
        self.sequence += 1
        hearers = [listener for listener in self.listeners if listener.subscription.wants(name, subclass)]
        if not hearers:
            return
        event = Event(name, subclass, self._base(name, subclass, calling or CALLING.get(name)) + build(), body)
        for listener in hearers:
            if listener.subscription.passes(event):
                listener.deliver(event)

    def _base(self, name: str, subclass: str, calling: Calling | None) -> Pairs:
        now = self._wall()
        second = now // 1_000_000
        if second != self._second:
            self._second = second
            self._local = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second))
            self._gmt = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(second))
        where = calling or Calling("switch_lab.c", "lab", 1)
        pairs = [("Event-Subclass", subclass)] if subclass else []
        pairs += [
            ("Event-Name", name),
            ("Core-UUID", self.core_uuid),
            ("FreeSWITCH-Hostname", self.hostname),
            ("FreeSWITCH-Switchname", self.hostname),
            ("FreeSWITCH-IPv4", "127.0.0.1"),
            ("FreeSWITCH-IPv6", "::1"),
            ("Event-Date-Local", self._local),
            ("Event-Date-GMT", self._gmt),
            ("Event-Date-Timestamp", str(now)),
            ("Event-Calling-File", where.file),
            ("Event-Calling-Function", where.function),
            ("Event-Calling-Line-Number", str(where.line)),
            ("Event-Sequence", str(self.sequence)),
        ]
        return pairs


class Listener(Protocol):
    """What the bus needs of an ESL connection."""

    subscription: Subscription

    def deliver(self, event: Event) -> None: ...
