"""Counting stamps in sliding windows and spans that overlap. Times are integers of any one unit, nanoseconds in the logs."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable


def max_in_window(stamps_ns: Iterable[int], window_s: float) -> tuple[int, int]:
    """(most stamps in any half-open window, stamp at which that was reached)."""
    width = int(window_s * 1_000_000_000)
    window: deque[int] = deque()
    best = at = 0
    for stamp in sorted(stamps_ns):
        window.append(stamp)
        while window[0] <= stamp - width:
            window.popleft()
        if len(window) > best:
            best, at = len(window), stamp
    return best, at


def count_over(stamps_ns: Iterable[int], window_s: float, limit: int) -> int:
    """How many stamps end a half-open window with more than `limit` in it; 0 for a limit of 0, which is none."""
    width = int(window_s * 1_000_000_000)
    window: deque[int] = deque()
    over = 0
    for stamp in sorted(stamps_ns):
        window.append(stamp)
        while window[0] <= stamp - width:
            window.popleft()
        over += bool(limit) and len(window) > limit
    return over


def mean_overlap(
    spans: Iterable[tuple[int, int | None]], since: int, until: int, leave_out: Iterable[tuple[int, int]] = ()
) -> float:
    """How many spans are open on average over [since, until), without the parts of it that are left out (which may overlap).

    0 when nothing is left of it.
    """
    marks: list[tuple[int, int, int]] = [(since, 0, 0), (until, 0, 0)]
    for begin, end in spans:
        marks += [(begin, 1, 0), (until if end is None else end, -1, 0)]
    for begin, end in leave_out:
        marks += [(begin, 0, 1), (end, 0, -1)]
    level = hidden = area = width = 0
    last = since
    for stamp, step, veil in sorted(marks):
        at = min(max(stamp, since), until)
        if not hidden:
            area += level * (at - last)
            width += at - last
        last = at
        level += step
        hidden += veil
    return area / width if width else 0.0


def max_overlap(spans: Iterable[tuple[int, int | None]]) -> tuple[int, int]:
    """(most spans open at once, when). An open end never closes; a span that ends when another begins is not in it,
    but one that begins and ends at the same stamp is open for that moment."""
    marks: list[tuple[int, int]] = []
    for begin, end in spans:
        marks.append((begin, 1))
        if end is not None:
            marks.append((max(end, begin + 1), -1))
    marks.sort()
    best = at = level = 0
    for stamp, step in marks:
        level += step
        if level > best:
            best, at = level, stamp
    return best, at
