"""What becomes of an attempt at its carrier, drawn from a seed: the shapes are those that a real FreeSWITCH reported.

Each :class:`Shape` names the recorded scenario whose last event it repeats (tests/contract/traces); a test holds them to it.
A :class:`Story` is one shape with times of its own, and tells the evidence that a witness who missed nothing would give.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from uuid import UUID

from calls.evidence import End, Evidence, Source, State

SECOND = 1_000_000


@dataclass(frozen=True, slots=True)
class Shape:
    """An end as the switch tells it. ``weight``: how often it is drawn.

    ``ends``: when. ``answer``: after a talk; ``ring``: while it rings; ``at_once``: refused after the PDD; ``ring_timeout``,
    ``pdd_timeout``: by our own patience; ``local``: no INVITE left the switch.
    ``crossed``: our CANCEL met a 200 on its way, which the switch tells nobody.
    """

    trace: str
    weight: float
    ends: str
    cause: str
    q850: int | None = None
    code: int | None = None
    phrase: str | None = None
    disposition: str | None = None
    rings: bool = True
    early: bool = False
    crossed: bool = False


SHAPES = (
    Shape("answered_callee_hangs_up", 30, "answer", "NORMAL_CLEARING", 16, 200, None, "recv_bye"),
    Shape("answered_dialer_hangs_up", 10, "answer", "NORMAL_CLEARING", 16, 200, None, "send_bye"),
    Shape("answer_without_18x", 3, "answer", "NORMAL_CLEARING", 16, 200, None, "send_bye", rings=False),
    Shape("early_media_then_answer", 6, "answer", "NORMAL_CLEARING", 16, 200, None, "send_bye", rings=False, early=True),
    Shape("busy", 14, "ring", "USER_BUSY", 17, 486, "Busy Here", "recv_refuse"),
    Shape("declined", 3, "ring", "CALL_REJECTED", 21, 603, "Decline", "recv_refuse"),
    Shape("unavailable_480", 4, "ring", "NO_USER_RESPONSE", 18, 480, "Temporarily Unavailable", "recv_refuse"),
    Shape("network_blocked_603", 1, "ring", "CALL_REJECTED", 21, 603, "Network Blocked", "recv_refuse"),
    Shape(
        "announcement_183_then_404", 2, "ring", "UNALLOCATED_NUMBER", 1, 404, "Not Found", "recv_refuse", rings=False,
        early=True,
    ),
    Shape("unknown_number", 4, "at_once", "UNALLOCATED_NUMBER", 1, 404, "Not Found", "recv_refuse", rings=False),
    Shape(
        "carrier_cps_limit_503", 2, "at_once", "NORMAL_TEMPORARY_FAILURE", 41, 503, "CPS limit exceeded", "recv_refuse",
        rings=False,
    ),
    Shape(
        "carrier_fault_503", 3, "at_once", "NORMAL_TEMPORARY_FAILURE", 41, 503, "Service Unavailable", "recv_refuse",
        rings=False,
    ),
    Shape("redirect_302_refused", 1, "at_once", "REQUESTED_CHAN_UNAVAIL", 44, 302, None, "send_cancel", rings=False),
    Shape("no_answer_timeout", 12, "ring_timeout", "NO_ANSWER", 19, None, None, "send_cancel"),
    Shape("no_answer_timeout", 1, "ring_timeout", "NO_ANSWER", 19, None, None, "send_cancel", crossed=True),
    Shape("carrier_says_nothing", 2, "pdd_timeout", "NO_ANSWER", 19, None, None, "send_cancel", rings=False),
    Shape("gateway_refuses_connection", 1, "local", "GATEWAY_DOWN", rings=False),
)  # fmt: skip
_WEIGHTS = [shape.weight for shape in SHAPES]


@dataclass(frozen=True, slots=True)
class Story:
    """A shape with its times: us from the INVITE (for ``local``: from the command)."""

    shape: Shape
    ring_us: int | None
    early_us: int | None
    answer_us: int | None
    end_us: int

    @property
    def sent(self) -> bool:
        """Whether an INVITE left the switch."""
        return self.shape.ends != "local"

    def end(self, began: datetime) -> End:
        """The end as a witness knows it who followed the leg from its beginning."""
        shape = self.shape
        return End(
            shape.cause,
            _at(began, self.end_us),
            q850_cause=shape.q850,
            sip_code=shape.code,
            sip_phrase=shape.phrase,
            disposition=shape.disposition,
            ringing_at=None if self.ring_us is None else _at(began, self.ring_us),
            early_at=None if self.early_us is None else _at(began, self.early_us),
            answered_at=None if self.answer_us is None else _at(began, self.answer_us),
            local=not self.sent,
        )

    def states(self) -> list[tuple[State, int]]:
        """(state, us) of every event of the channel but its last, in order."""
        known = [
            (State.RINGING, self.ring_us),
            (State.EARLY, self.early_us),
            (State.IN_PROGRESS, self.answer_us),
        ]
        return [(State.DIALING, 0), *((state, us) for state, us in known if us is not None)] if self.sent else []

    def seen(self, attempt: UUID, began: datetime, key: Callable[[State], str]) -> list[Evidence]:
        """What who listens to the switch sees, in order. A refusal inside the switch is told by its answer alone."""
        live = [Evidence(attempt, key(state), Source.EVENT, state, _at(began, us)) for state, us in self.states()]
        end = self.end(began)
        source = Source.EVENT if self.sent else Source.RECONCILE
        return [*live, Evidence(attempt, key(State.ENDED), source, State.ENDED, end.at, end)]

    def cdr(self, attempt: UUID, began: datetime) -> Evidence | None:
        """The switch's call detail record: all that the end says, from another witness. None: there was no channel."""
        end = self.end(began)
        return Evidence(attempt, f"cdr:{attempt}", Source.CDR, State.ENDED, end.at, end) if self.sent else None


def draw(random: Random, *, ring_timeout_s: float, pdd_s: float, talk_s: float = 40.0) -> Story:
    """A story from a seeded ``random``. Seconds: the call's ring time, what a silent carrier is given, a talk's mean."""
    shape = random.choices(SHAPES, _WEIGHTS)[0]
    if shape.ends == "local":
        return Story(shape, None, None, None, random.randint(1_000, 20_000))
    if shape.ends == "pdd_timeout":
        return Story(shape, None, None, None, int((pdd_s + ring_timeout_s) * SECOND))
    begin = min(int(random.expovariate(1 / 1.5) * SECOND) + 50_000, int(pdd_s * SECOND) - SECOND)
    if shape.ends == "at_once":
        return Story(shape, None, None, None, begin)
    ring = begin if shape.rings else None
    early = begin if shape.early else None
    rings_for = min(int(random.expovariate(1 / 8.0) * SECOND) + 100_000, int(ring_timeout_s * SECOND) - SECOND)
    if shape.ends == "ring":
        return Story(shape, ring, early, None, begin + rings_for)
    if shape.ends == "ring_timeout":
        return Story(shape, ring, early, None, begin + int(ring_timeout_s * SECOND))
    answer = begin + rings_for
    return Story(shape, ring, early, answer, answer + int(random.expovariate(1 / talk_s) * SECOND) + 200_000)


def _at(began: datetime, us: int) -> datetime:
    return began + timedelta(microseconds=us)
