"""The rules of retry that one call goes by: the platform's, and what the call asks otherwise. They are kept with the call as
they were when it was accepted, so that what was decided can be decided again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Protocol, Self

from calls.windows import zone

MAX_ATTEMPTS = 10
#: s; a gap is no longer than a week, and a list of gaps no longer than the attempts it is for.
GAP_MAX_S, GAPS_MAX = 7 * 86_400, MAX_ATTEMPTS
NUMBER_PER_DAY_MAX = 1000


class Platform(Protocol):
    """What the rules need of the platform; :class:`settings.Settings` is one. Seconds; 0 dials per day: no cap."""

    @property
    def retry_busy_s(self) -> int: ...
    @property
    def retry_no_answer_s(self) -> int: ...
    @property
    def retry_carrier_s(self) -> int: ...
    @property
    def retry_capacity_s(self) -> int: ...
    @property
    def retry_per_day(self) -> int: ...
    @property
    def retry_number_per_day(self) -> int: ...
    @property
    def recipient_time_zone(self) -> str: ...
    @property
    def crash_linger_s(self) -> float: ...


@dataclass(frozen=True, slots=True)
class RetryRules:
    """Gaps in seconds, the first for the first end of that kind, the last for all that follow; and the bounds.

    ``per_day``, ``number_per_day``: dials that may have rung, of this call and of all the tenant's calls to its number, on a
    day of ``time_zone``; None: no cap. Errors: ValueError that names the field.
    """

    max_attempts: int = MAX_ATTEMPTS  # over the call's own number, whatever it asks
    busy_gaps_s: tuple[int, ...] = (120,)
    no_answer_gaps_s: tuple[int, ...] = (600,)
    carrier_gaps_s: tuple[int, ...] = (5,)  # after a proven fault, nobody rang
    capacity_s: int = 2  # first gap of a try that uses up no attempt; doubles each time
    capacity_max_s: int = 60
    max_free: int = 100  # tries that use up no attempt, at most
    on_unknown: bool = False  # whether an attempt of unknown outcome is followed by another
    on_declined: bool = False  # whether a callee who refused is called once more, on another day
    crash_linger_s: float = 300.0  # after an unknown outcome, besides the ring time
    per_day: int | None = None
    number_per_day: int | None = None
    time_zone: str = "UTC"

    def __post_init__(self) -> None:
        for name in ("capacity_s", "capacity_max_s", "max_attempts"):
            _whole(name, getattr(self, name), 1)
        for name in ("busy_gaps_s", "no_answer_gaps_s", "carrier_gaps_s"):
            gaps = getattr(self, name)
            if not isinstance(gaps, tuple) or not gaps:
                raise ValueError(f"{name}: must be a list of at least one gap")
            for gap in gaps:
                _whole(name, gap, 1)
        for name in ("per_day", "number_per_day"):
            if getattr(self, name) is not None:
                _whole(name, getattr(self, name), 1)
        for name in ("on_unknown", "on_declined"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name}: must be true or false")
        _whole("max_free", self.max_free, 0)
        if (
            isinstance(self.crash_linger_s, bool)
            or not isinstance(self.crash_linger_s, int | float)
            or self.crash_linger_s < 0
        ):
            raise ValueError("crash_linger_s: must be at least 0")
        zone(self.time_zone)

    @staticmethod
    def of(platform: Platform) -> RetryRules:
        """A platform's rules, the bounds as they are. Everybody who decides reads them here."""
        return _platforms(
            busy_gaps_s=(platform.retry_busy_s,),
            no_answer_gaps_s=(platform.retry_no_answer_s,),
            carrier_gaps_s=(platform.retry_carrier_s,),
            capacity_s=platform.retry_capacity_s,
            per_day=platform.retry_per_day or None,
            number_per_day=platform.retry_number_per_day or None,
            time_zone=platform.recipient_time_zone,
            crash_linger_s=platform.crash_linger_s,
        )

    def with_(self, changes: Mapping[str, Any]) -> Self:
        """These rules, but ``changes``, as :meth:`as_dict` writes them; members that are no rules are left out, because a
        later version may know more. ValueError for what is no rule's value.
        """
        known: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in changes.items()
            if name in self.__dataclass_fields__
        }
        return replace(self, **known) if known else self

    def as_dict(self) -> dict[str, Any]:
        """All of it as JSON types."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


@lru_cache(maxsize=8, typed=True)
def _platforms(**values: Any) -> RetryRules:
    """Checked once: they are the same for every call."""
    return RetryRules(**values)


def _whole(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name}: must be at least {least}")
