"""What the demo calls: fictional numbers whose last four digits tell the lab carrier what shall become of the call."""

from __future__ import annotations

import random
from dataclasses import dataclass

#: Last four digits (lab/README.md) and how many of a hundred calls get them; "" is answered, by the carrier's mix.
FATES = (
    ("", 60),
    ("0101", 12),  # busy
    ("0102", 7),  # rings out
    ("0104", 5),  # no such number
    ("0103", 4),  # declined
    ("0105", 3),  # carrier fault
    ("0107", 3),  # unavailable
    ("0108", 2),  # early media, then answered until the longest talk time
    ("0116", 2),  # blocked by the network
    ("0119", 1),  # Trying, and never another word
    ("0112", 1),  # redirected elsewhere, which is refused
)
SLOW = {"0102": 0.1, "0119": 0.1, "0101": 0.4, "0105": 0.4, "0108": 0.4}
#: So many are posted one after another before the rest comes at once: nothing holds them up.
QUIET = 20
NORTH_AMERICA = (202, 206, 212, 305, 312, 415, 512, 617)
FROM_NUMBERS = ("+12025550100", "+442079460000", "+493023125000")

#: Short times, so that a minute shows a day. s.
RING_TIMEOUT_S = 6
MAX_DURATION_S = 12
MAX_ATTEMPTS = 2
TALK = "3:8"
RING = "0.5:2"


@dataclass(frozen=True)
class PlannedCall:
    """One call to post. `announcement`: audio is played instead of talking to the reference agent."""

    account: int
    to: str
    from_: str
    announcement: bool
    priority: str

    def body(self, agent_id: str, reference: str) -> dict[str, object]:
        """The body of POST /v1/calls."""
        return {
            "to": self.to,
            "from": self.from_,
            "agent_id": agent_id,
            "priority": self.priority,
            "ring_timeout_s": RING_TIMEOUT_S,
            "max_duration_s": MAX_DURATION_S,
            "max_attempts": MAX_ATTEMPTS,
            "client_reference": reference,
        }


def plan(count: int, accounts: int, rng: random.Random) -> list[PlannedCall]:
    """`count` calls of mixed outcome, dealt to the accounts in turn; the first `QUIET` are answered."""
    others = [fate for fate, weight in FATES if fate for _ in range(round(weight * count / 100))][: max(0, count - QUIET)]
    # Those that take long (a retry, silence) come rather early, so that the end is not spent waiting for them.
    rest = others + [""] * (count - QUIET - len(others))
    rest.sort(key=lambda fate: rng.random() * SLOW.get(fate, 1.0))
    return [
        PlannedCall(
            account=number % accounts,
            to=_number(fate, rng),
            from_=FROM_NUMBERS[number % len(FROM_NUMBERS)],
            announcement=rng.random() < 0.15,
            priority=rng.choices(("normal", "bulk", "urgent"), (70, 20, 10))[0],
        )
        for number, fate in enumerate([""] * min(count, QUIET) + rest)
    ]


def _number(fate: str, rng: random.Random) -> str:
    """A number reserved for fiction (+1 NXX 555 01XX, +44 20 7946 0XXX, +49 30 23125 XXX) that ends in `fate`."""
    country = rng.choices(("1", "44", "49"), (60, 25, 0 if fate else 15))[0]
    if country == "49":
        return f"+493023125{rng.randrange(1000):03d}"
    if country == "44":
        return f"+44207946{fate or f'0{rng.randrange(200, 1000)}'}"
    return f"+1{rng.choice(NORTH_AMERICA)}555{fate or f'01{rng.randrange(30, 100)}'}"
