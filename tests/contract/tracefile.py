"""Reading what a real FreeSWITCH said: one recorded ESL connection."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

TRACES = Path(__file__).parent / "traces"
_MARK = re.compile(r"(?m)^(>>>|<<<) (\d+\.\d+)\n")

Pairs = list[tuple[str, str]]


@dataclass(slots=True)
class Command:
    """What the client sent, at that second of the connection."""

    at: float
    text: str


@dataclass(slots=True)
class Reply:
    """Anything but an event: auth/request, command/reply, api/response, text/disconnect-notice."""

    at: float
    headers: dict[str, str]
    body: str

    @property
    def kind(self) -> str:
        return self.headers.get("Content-Type", "")


@dataclass(slots=True)
class TraceEvent:
    """An event with its headers in order, decoded."""

    at: float
    form: str
    pairs: Pairs
    body: str
    _index: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value in self.pairs:
            self._index.setdefault(name, value)

    def get(self, name: str, default: str = "") -> str:
        return self._index.get(name, default)

    @property
    def name(self) -> str:
        return self.get("Event-Name")

    @property
    def names(self) -> set[str]:
        return set(self._index)


Item = Command | Reply | TraceEvent


def split_headers(text: str, *, decode: bool) -> Pairs:
    pairs: Pairs = []
    for line in text.strip("\n").split("\n"):
        name, _, value = line.partition(": ")
        pairs.append((name.rstrip(":"), unquote(value) if decode else value))
    return pairs


def decode_frame(at: float, outer: dict[str, str], payload: str) -> Reply | TraceEvent:
    """One frame: its outer headers and the payload its Content-Length covered."""
    kind = outer.get("Content-Type", "")
    if kind == "text/event-plain":
        head, _, body = payload.partition("\n\n")
        return TraceEvent(at, "plain", split_headers(head, decode=True), body)
    if kind == "text/event-json":
        pairs: Pairs = json.loads(payload, object_pairs_hook=lambda items: items)
        body = next((value for name, value in pairs if name == "_body"), "")
        return TraceEvent(at, "json", [(name, str(value)) for name, value in pairs if name != "_body"], body)
    return Reply(at, outer, payload)


def read_trace(path: Path) -> list[Item]:
    """Every item of the file in its order; the end of the connection is a Reply of kind `closed`."""
    text = path.read_text(encoding="utf-8").replace("\r\n", "\n")
    parts = _MARK.split(text)
    return [_item(direction, float(at), body) for direction, at, body in zip(*[iter(parts[1:])] * 3, strict=True)]


def _item(direction: str, at: float, body: str) -> Item:
    if direction == ">>>":
        return Command(at, body.strip("\n"))
    if body.startswith("[connection closed]"):
        return Reply(at, {"Content-Type": "closed"}, "")
    head, _, payload = body.partition("\n\n")
    outer = dict(split_headers(head, decode=False))
    # The recorder wrote one line end after each frame.
    return decode_frame(at, outer, payload[:-1] if payload.endswith("\n") else payload)


def trace_files() -> list[Path]:
    return sorted(TRACES.glob("*.txt"))


def events(items: list[Item]) -> Iterator[TraceEvent]:
    return (item for item in items if isinstance(item, TraceEvent))


def websocket_trace(path: Path) -> list[list[object]] | None:
    """What the agent's server saw in that scenario, or None when it had no agent."""
    sibling = path.with_suffix(".websocket.json")
    loaded: list[list[object]] | None = json.loads(sibling.read_text()) if sibling.exists() else None
    return loaded
