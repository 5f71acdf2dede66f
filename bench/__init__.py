"""Measurements that mean something on any machine: each is a ratio to a named peer or limit, both from the same run.

A bench is a module ``bench/<name>.py``: the first line of its docstring says what it measures, and ``run() -> Report``
does. Its floors stand in ``floors.toml``. See docs/benchmarks.md.
"""

from __future__ import annotations

import importlib
import pkgutil
import tomllib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

FLOORS = Path(__file__).with_name("floors.toml")


@dataclass(frozen=True, slots=True)
class Ratio:
    """``ours / peer``, both measured in this run and in ``unit``. ``peer_name`` says what it stands beside."""

    name: str
    ours: float
    peer: float
    unit: str
    peer_name: str

    @property
    def value(self) -> float:
        return self.ours / self.peer if self.peer else float("inf")


@dataclass(slots=True)
class Report:
    """What a bench found: its ratios, and ``facts`` that explain them but are not judged."""

    ratios: list[Ratio]
    facts: dict[str, float | int | str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Bound:
    """What a ratio must keep: ``at_least``, ``at_most``, or both."""

    at_least: float | None = None
    at_most: float | None = None

    def broken_by(self, value: float) -> str | None:
        """Why ``value`` is not good enough; None when it is."""
        if self.at_least is not None and not value >= self.at_least:
            return f"{value:.2f} is under the floor of {self.at_least:g}"
        if self.at_most is not None and not value <= self.at_most:
            return f"{value:.2f} is over the ceiling of {self.at_most:g}"
        return None


def names() -> list[str]:
    """Every bench there is."""
    return sorted(m.name for m in pkgutil.iter_modules([str(FLOORS.parent)]) if not m.name.startswith("_"))


def load(name: str) -> tuple[str, Callable[[], Report]]:
    """A bench's summary and its ``run``. LookupError names the benches there are."""
    if name not in names():
        raise LookupError(f"no bench {name!r}; there are: {', '.join(names())}")
    module = importlib.import_module(f"bench.{name}")
    summary = (module.__doc__ or "").strip().partition("\n")[0]
    run: Callable[[], Report] = module.run
    return summary, run


def bounds(name: str, path: Path = FLOORS) -> dict[str, Bound]:
    """The bench's bounds by ratio name. ValueError when the file says something that is no bound."""
    table: dict[str, dict[str, dict[str, float]]] = tomllib.loads(path.read_text())
    found: dict[str, Bound] = {}
    for ratio, entry in table.get(name, {}).items():
        try:
            found[ratio] = Bound(**entry)
        except TypeError:
            raise ValueError(f"{path.name}: {name}.{ratio}: give at_least and/or at_most") from None
    return found


def judge(name: str, report: Report, path: Path = FLOORS) -> list[str]:
    """Everything that is wrong with a report; empty when it passes. A ratio without a bound, and a bound without its
    ratio, are wrong too: otherwise a renamed ratio would pass for ever."""
    wanted = bounds(name, path)
    got = {ratio.name: ratio for ratio in report.ratios}
    wrong = [f"{name}.{ratio}: no bound in {path.name}" for ratio in got if ratio not in wanted]
    wrong += [f"{name}.{ratio}: not measured" for ratio in wanted if ratio not in got]
    for ratio, item in got.items():
        if ratio in wanted and (why := wanted[ratio].broken_by(item.value)) is not None:
            wrong.append(f"{name}.{ratio}: {why}")
    return wrong


def as_json(name: str, report: Report) -> dict[str, Any]:
    """For machines."""
    ratios = [{**asdict(ratio), "ratio": round(ratio.value, 3)} for ratio in report.ratios]
    return {"bench": name, "ratios": ratios, "facts": report.facts}


def alternate(rounds: int, ours: Callable[[], float], peer: Callable[[], float]) -> tuple[float, float]:
    """The best of both (a rate: higher is better), measured in turns: what disturbs a round only ever slows it."""
    pairs = [(ours(), peer()) for _ in range(rounds)]
    return max(a for a, _ in pairs), max(b for _, b in pairs)
