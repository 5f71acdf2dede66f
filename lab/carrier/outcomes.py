"""What becomes of a call at the carrier: a table by the called number's last four digits, else a seeded mix."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

ANSWERED_PHRASE = "OK"


@dataclass(frozen=True, slots=True)
class Step:
    """One response: `at` seconds after the INVITE. `media` adds an SDP answer to it, `headers` more headers."""

    at: float
    status: int
    reason: str
    media: bool = False
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """The whole behaviour of one call.

    `hangup_after`: seconds from the answer until the callee hangs up, None = never; `hangs_up_on_ack`: as soon as the
    ACK is there. `speech`: `silent`, `bursts` (speech-like), `echo`, `tone:<Hz>`, `beeps:<Hz>` (1 s
    in 5, the first after 2), `noise:<seed>` and `stamps` (lab.audio.pcm), `machine` (a greeting of 4 s, a beep of 0.6 s,
    silence; again after a minute). `dtmf`: `digits@seconds` after the answer. `announces`: the speech of early media.
    `on_cancel`: `487`, or `200` where the answer crosses the CANCEL.
    `deaf_to`: so many of the first ACKs to the 200, or BYEs, never arrive (`{"ACK": 2}`). `mute_bye`: the callee's own BYE
    reaches nobody. `reinvites_after`: seconds from the ACK until the carrier refreshes the session by a re-INVITE.
    `min_se`: an INVITE that asks for a shorter session timer (s) gets 422 first.
    """

    name: str
    steps: tuple[Step, ...]
    hangup_after: float | None = None
    speech: str = "bursts"
    dtmf: str = ""
    challenge: bool = False
    on_cancel: str = "487"
    redirect_to: tuple[str, ...] = ()
    hangs_up_on_ack: bool = False
    announces: str = "silent"
    deaf_to: Mapping[str, int] = field(default_factory=dict)
    mute_bye: bool = False
    reinvites_after: float | None = None
    min_se: int = 0

    @property
    def answers(self) -> bool:
        return any(200 <= step.status < 300 for step in self.steps)

    def lab_words(self) -> str:
        """The value of `a=x-lab:` in the answer."""
        words = [f"speech={self.speech}"]
        if self.dtmf:
            words.append(f"dtmf={self.dtmf}")
        if self.hangup_after is not None:
            words.append(f"hangup={self.hangup_after:g}")
        return ";".join(words)


TRYING = Step(0.0, 100, "Trying")


def _ring(at: float = 0.0) -> Step:
    return Step(at, 180, "Ringing")


def _early(at: float = 0.0) -> Step:
    return Step(at, 183, "Session Progress", media=True)


def _answer(at: float = 0.4) -> Step:
    return Step(at, 200, ANSWERED_PHRASE, media=True)


def _steps(*steps: Step) -> tuple[Step, ...]:
    return (TRYING, *steps)


_NO_CIRCUIT = ("Reason", 'Q.850;cause=34;text="No circuit available"')


def refusal(status: int, reason: str, *headers: tuple[str, str]) -> Outcome:
    """That answer at once, and no phone rings."""
    return Outcome(f"refused_{status}", _steps(Step(0.02, status, reason, headers=headers)))


BY_NAME: dict[str, Outcome] = {
    outcome.name: outcome
    for outcome in (
        Outcome("answered", _steps(_ring(), _answer())),
        Outcome("answered_hangup", _steps(_ring(), _answer()), hangup_after=3.0),
        Outcome("instant_hangup", _steps(_ring(), _answer()), hangup_after=0.3),
        Outcome("busy", _steps(_ring(), Step(0.4, 486, "Busy Here"))),
        Outcome("declined", _steps(_ring(), Step(0.4, 603, "Decline"))),
        Outcome("unavailable", _steps(_ring(), Step(0.4, 480, "Temporarily Unavailable"))),
        Outcome("unknown_number", _steps(Step(0.05, 404, "Not Found"))),
        Outcome("fault", _steps(Step(0.05, 503, "Service Unavailable"))),
        Outcome("cps_limit", _steps(Step(0.0, 503, "CPS limit exceeded"))),
        Outcome("channel_limit", _steps(Step(0.0, 503, "Channel limit exceeded"))),
        Outcome("network_blocked", _steps(_ring(), Step(0.2, 603, "Network Blocked"))),
        Outcome("no_answer", _steps(_ring())),
        Outcome("silent", ()),
        Outcome("trying_only", _steps()),
        Outcome("late_ringing", _steps(_ring(9.0), _answer(9.4))),
        Outcome("no_18x", _steps(_answer(1.0))),
        Outcome("early_media", _steps(_early(), _answer())),
        Outcome("announcement", _steps(_early(), Step(2.0, 404, "Not Found")), announces="tone:950"),
        Outcome("announcement_only", _steps(_early()), announces="tone:425"),
        Outcome("early_then_ringing", _steps(_early(), _ring(0.3), Step(0.8, 486, "Busy Here"))),
        Outcome("not_acceptable", _steps(Step(0.05, 488, "Not Acceptable Here"))),
        Outcome("timer_too_small", _steps(_ring(), _answer()), hangup_after=1.0, min_se=7200),
        Outcome("circuits_busy", _steps(Step(0.05, 503, "Service Unavailable", headers=(_NO_CIRCUIT,)))),
        Outcome("unwanted", _steps(_ring(), Step(0.2, 607, "Unwanted"))),
        Outcome("analytics", _steps(Step(0.2, 608, "Rejected"))),
        Outcome("lost_ack", _steps(_ring(), _answer()), hangup_after=2.5, deaf_to={"ACK": 2}),
        Outcome("lost_bye", _steps(_ring(), _answer()), hangup_after=1.0, mute_bye=True),
        Outcome("lost_our_bye", _steps(_ring(), _answer()), deaf_to={"BYE": 1}),
        Outcome("reinvite", _steps(_ring(), _answer()), hangup_after=1.5, reinvites_after=0.4),
        Outcome("hangup_on_ack", _steps(_ring(), _answer()), hangs_up_on_ack=True),
        Outcome("challenge", _steps(_ring(), _answer()), challenge=True),
        Outcome("redirect", _steps(Step(0.0, 302, "Moved Temporarily")), redirect_to=("carrier", "+19005550199")),
        Outcome("cancel_crosses", _steps(_ring()), on_cancel="200"),
    )
}

# The called number's last four digits. 0101-0120 are the numbers of the recorded traces.
MAGIC: dict[str, Outcome] = {
    "0101": BY_NAME["busy"],
    "0102": BY_NAME["no_answer"],
    "0103": BY_NAME["declined"],
    "0104": BY_NAME["unknown_number"],
    "0105": BY_NAME["fault"],
    "0106": BY_NAME["silent"],
    "0107": BY_NAME["unavailable"],
    "0108": BY_NAME["early_media"],
    "0109": BY_NAME["answered_hangup"],
    "0110": BY_NAME["instant_hangup"],
    "0111": BY_NAME["late_ringing"],
    "0112": BY_NAME["redirect"],
    "0113": BY_NAME["challenge"],
    "0114": BY_NAME["cancel_crosses"],
    "0115": BY_NAME["announcement"],
    "0116": BY_NAME["network_blocked"],
    "0117": BY_NAME["cps_limit"],
    "0118": BY_NAME["no_18x"],
    "0119": BY_NAME["trying_only"],
    "0120": BY_NAME["answered"],
    "0121": replace(BY_NAME["answered"], name="answered_tone", speech="tone:440"),
    "0122": replace(BY_NAME["answered"], name="answered_silent", speech="silent"),
    "0123": replace(BY_NAME["answered"], name="answered_echo", speech="echo"),
    "0124": replace(BY_NAME["answered"], name="answered_dtmf", speech="silent", dtmf="12#@1.0"),
    "0125": replace(BY_NAME["answered"], name="answered_tone_hangup", speech="tone:440", hangup_after=3.0),
    "0126": BY_NAME["channel_limit"],
    "0127": replace(BY_NAME["answered"], name="answered_beeps_dtmf", speech="beeps:880", dtmf="9@6.0"),
    "0128": BY_NAME["not_acceptable"],
    "0129": BY_NAME["timer_too_small"],
    "0130": BY_NAME["lost_ack"],
    "0131": BY_NAME["lost_bye"],
    "0132": BY_NAME["lost_our_bye"],
    "0133": BY_NAME["reinvite"],
    "0134": BY_NAME["hangup_on_ack"],
    "0135": BY_NAME["announcement_only"],
    "0136": BY_NAME["early_then_ringing"],
    "0137": BY_NAME["circuits_busy"],
    "0138": BY_NAME["unwanted"],
    "0139": BY_NAME["analytics"],
    "0140": replace(BY_NAME["answered"], name="answered_machine", speech="machine"),
}


def parse_mix(text: str) -> dict[str, float]:
    """`answered_hangup=70,busy=20,no_answer=10` -> weights. Raises ValueError naming an unknown outcome."""
    weights: dict[str, float] = {}
    for part in text.split(","):
        name, _, weight = part.strip().partition("=")
        if name not in BY_NAME:
            raise ValueError(f"mix: unknown outcome {name!r}; known: {', '.join(sorted(BY_NAME))}")
        weights[name] = float(weight or 1)
    return weights


def parse_range(text: str, field_name: str) -> tuple[float, float]:
    """`0.5:3` or `2` -> (low, high) in seconds."""
    low, _, high = text.partition(":")
    try:
        bounds = float(low), float(high or low)
    except ValueError:
        raise ValueError(f"{field_name}: expected LOW:HIGH in seconds, got {text!r}") from None
    if bounds[0] < 0 or bounds[1] < bounds[0]:
        raise ValueError(f"{field_name}: expected 0 <= LOW <= HIGH, got {text!r}")
    return bounds


@dataclass(slots=True)
class Mix:
    """Chooses the outcome of a call. The same seed, number and count give the same fate in any order of calls.

    `numbers`: outcomes by the called number's last four digits, asked before the mix where `magic` is on.
    """

    seed: int = 1
    weights: dict[str, float] = field(default_factory=lambda: {"answered_hangup": 1.0})
    ring: tuple[float, float] = (0.4, 0.4)
    talk: tuple[float, float] = (3.0, 3.0)
    speech: str | None = None
    magic: bool = True
    time_scale: float = 1.0
    numbers: Mapping[str, Outcome] = field(default_factory=lambda: MAGIC)
    _counts: dict[str, int] = field(default_factory=dict)

    def choose(self, number: str) -> Outcome:
        """The outcome for this call to `number` (`+1415...`)."""
        if self.magic and number[-4:] in self.numbers:
            return self._scaled(self.numbers[number[-4:]], None, None)
        count = self._counts[number] = self._counts.get(number, 0) + 1
        rng = random.Random(f"{self.seed}:{number}:{count}")
        names = list(self.weights)
        outcome = BY_NAME[rng.choices(names, [self.weights[name] for name in names])[0]]
        ring, talk = rng.uniform(*self.ring), rng.uniform(*self.talk)
        if outcome.name != "answered_hangup":
            return self._scaled(outcome, ring, None)
        return self._scaled(outcome, ring, talk)

    def _scaled(self, outcome: Outcome, ring: float | None, talk: float | None) -> Outcome:
        """The last step of a ringing call comes after `ring` seconds; times stretch by `time_scale`."""
        steps = list(outcome.steps)
        if ring is not None and len(steps) > 2 and steps[-1].at > 0:
            steps[-1] = replace(steps[-1], at=steps[-2].at + ring)
        scale = self.time_scale
        hangup = outcome.hangup_after if talk is None else talk
        return replace(
            outcome,
            steps=tuple(replace(step, at=step.at * scale) for step in steps),
            hangup_after=None if hangup is None else hangup * scale,
            speech=self.speech if self.speech and talk is not None else outcome.speech,
        )
