"""The body of POST /v1/batches: ``{"defaults": {...}, "calls": [{...}, ...]}``, read row by row.

It may be megabytes: other requests have their turn between a few rows and the next, so no part of it may be larger than the
body of a single call. What it is known by is canonical, so the order of names and the white space do not matter.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from flask import Request
from werkzeug.exceptions import RequestEntityTooLarge

from settings import Settings
from web.jsonbody import DECODER, Malformed, check_content, pointer, read_text, told
from web.problems import FieldError, Problem, invalid

#: Bytes read in one go, each row counting ROW more than it has; about half a millisecond.
BREATH, ROW = 8192, 512
#: Characters; where text that was cut stops making sense, the cut is no farther off than this.
_TORN = 12
_SPACE = re.compile(r"[ \t\n\r]*")


@dataclass(slots=True)
class BatchBody:
    """As sent; ``rows`` may be anything; ``sizes``: characters of each. ``fingerprint``: SHA-256 of all of it."""

    defaults: Any = field(default_factory=dict)
    rows: list[Any] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    fingerprint: bytes = b""


def read_batch(request: Request, settings: Settings, breathe: Callable[[], None]) -> BatchBody:
    """Raises ``Problem`` 415, 413 and 400 as any body does, and 422 where it is no batch: no list of 1 to
    ``batch_max_rows`` rows, with other members, or where the defaults or a row have more than ``max_body_bytes``.
    """
    request.max_content_length = settings.batch_max_bytes + 1
    try:
        text = read_text(request, settings.batch_max_bytes)
    except RequestEntityTooLarge:
        detail = f"A batch may have at most {settings.batch_max_bytes} bytes. Send its rows in several batches."
        raise Problem(413, "body_too_large", detail) from None
    with told():
        body = _Reader(text, settings.batch_max_rows, settings.max_body_bytes, breathe).read()
    if not body.rows:
        raise invalid(_count(settings.batch_max_rows))
    try:
        check_content(body.defaults)
    except Problem as problem:
        raise invalid(*below(problem.errors, "defaults")) from None
    seen = hashlib.sha256(f"{request.method} {request.path}\n{_canonical(body.defaults)}".encode())
    pace = _Pace(breathe)
    for row, size in zip(body.rows, body.sizes, strict=True):
        seen.update(b"\n" + _canonical(row).encode())
        pace(size)
    body.fingerprint = seen.digest()
    return body


def below(faults: Sequence[FieldError], *steps: str | int) -> list[FieldError]:
    """The faults of a part, as they are told of the whole body."""
    return [FieldError(pointer(*steps) + fault.where, fault.code, fault.detail) for fault in faults]


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _count(most: int) -> FieldError:
    return FieldError("/calls", "bad_length", f"must be a list of 1 to {most} rows; send more in several batches")


def _unknown(name: str) -> FieldError:
    return FieldError(pointer(name[:64]), "unknown_field", "is not known here; known are: calls, defaults")


class _Pace:
    """Pauses by how much was done."""

    def __init__(self, breathe: Callable[[], None]) -> None:
        self._breathe, self._done = breathe, 0

    def __call__(self, size: int) -> None:
        """After a row of ``size`` characters."""
        self._done += size + ROW
        if self._done >= BREATH:
            self._breathe()
            self._done = 0


class _Reader:
    """One pass over the text, up to the first thing that no batch has; what is inside a row is json's own business.

    ``most`` rows, and ``most_bytes`` of each and of the defaults.
    """

    def __init__(self, text: str, most: int, most_bytes: int, breathe: Callable[[], None]) -> None:
        self._text, self._most, self._most_bytes, self._at = text, most, most_bytes, 0
        self._breathe, self._pace = breathe, _Pace(breathe)

    def read(self) -> BatchBody:
        self._space()
        if not self._text.startswith("{", self._at):
            self._value()
            raise invalid(FieldError("", "wrong_type", "must be an object"))
        body, seen = BatchBody(), set[str]()
        for _ in self._several("{", "}"):
            name = self._name()
            if name in seen:
                raise Malformed(f"the name {name[:64]!r} appears twice in one object")
            seen.add(name)
            if name == "calls" and self._text.startswith("[", self._at):
                self._rows(body)
            elif name == "defaults":
                body.defaults = self._value("defaults")
                self._breathe()
            elif name == "calls":
                self._value("calls")
                raise invalid(_count(self._most))
            else:
                raise invalid(_unknown(name))
        self._space()
        if self._at < len(self._text):
            raise json.JSONDecodeError("Extra data", self._text, self._at)
        return body

    def _rows(self, body: BatchBody) -> None:
        for number, _ in enumerate(self._several("[", "]")):
            if number >= self._most:
                raise invalid(_count(self._most))
            begin = self._at
            body.rows.append(self._value("calls", number))
            body.sizes.append(self._at - begin)
            self._pace(self._at - begin)

    def _several(self, begin: str, end: str) -> Iterator[None]:
        """Before each member; the caller reads it."""
        self._expect(begin)
        if self._text.startswith(end, self._at):
            self._expect(end)
            return
        while True:
            yield
            if self._text.startswith(end, self._at):
                self._expect(end)
                return
            self._expect(",")

    def _name(self) -> str:
        if not self._text.startswith('"', self._at):
            raise json.JSONDecodeError("Expecting property name enclosed in double quotes", self._text, self._at)
        name = self._value()
        self._expect(":")
        assert isinstance(name, str)
        return name

    def _value(self, *steps: str | int) -> Any:
        """The next value. It is never looked at beyond ``most_bytes``: nothing pauses inside of it."""
        begin, end = self._at, self._at + self._most_bytes
        part = self._text[begin:end]
        try:
            value, size = DECODER.raw_decode(part)
        except json.JSONDecodeError as error:
            torn = error.pos >= len(part) - _TORN or error.msg.startswith("Unterminated string")
            if torn and end < len(self._text):
                raise self._too_large(steps) from None
            raise json.JSONDecodeError(error.msg, self._text, begin + error.pos) from None
        if 4 * size > self._most_bytes and len(part[:size].encode()) > self._most_bytes:
            raise self._too_large(steps)
        self._at += size
        self._space()
        return value

    def _too_large(self, steps: tuple[str | int, ...]) -> Problem:
        return invalid(
            FieldError(pointer(*steps), "too_large", f"must have at most {self._most_bytes} bytes, as a single call may")
        )

    def _expect(self, what: str) -> None:
        if not self._text.startswith(what, self._at):
            raise json.JSONDecodeError(f"Expecting '{what}' delimiter", self._text, self._at)
        self._at += 1
        self._space()

    def _space(self) -> None:
        found = _SPACE.match(self._text, self._at)
        assert found is not None
        self._at = found.end()
