"""Many calls through a whole house, faults while they are dialed, and the verdict from the carriers' raw arrivals.

Used by bench/carriers.py, bench/use.py and tests/system/test_limits_pacing.py.
"""

from __future__ import annotations

import http.client
import pathlib
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from calls.ids import agent_ref
from lab.judge import Verdict, judge, read_log
from store import carriers
from trunkline.api import Api
from trunkline.children import wait_until
from trunkline.servers import RedisServer
from trunkline.stack import Stack

ENDED = frozenset({"completed", "failed", "no_answer", "busy", "canceled", "expired", "blocked"})
#: The harness itself is one tenant and posts faster than one may.
ENVIRON = {"TRUNKLINE_REQUESTS_PER_S": "5000"}
POSTERS = 3
#: s; listing all calls is work for the house, so it is done rarely.
LOOK_S = 5.0
STILL = " stood still"
HICCUP = f"redis{STILL}"
#: s; of a wait that no healthy house needs, however slow the machine.
PATIENCE_S = 60.0
#: s; a permit's slot lies at most so far ahead: what arrives later after a wipe was granted after it.
AHEAD_S = 0.3


@dataclass(frozen=True)
class Fault:
    """`what` stood still, or was done, from `begin` to `end`: nanoseconds since 1970, as in the arrival logs."""

    what: str
    begin: int
    end: int


def numbers(area: str) -> Iterator[str]:
    """Numbers of an area, each once. The numbering plan has no N11 exchange; endings under 2000 are the lab's magic ones."""
    for exchange in range(220, 1000):
        if exchange % 100 != 11 and exchange != 555:
            for line in range(2000, 10_000):
                yield f"+1{area}{exchange}{line}"


class Meter:
    """Counts a growing arrival log without reading anything twice."""

    def __init__(self, log: pathlib.Path) -> None:
        self._log, self._read, self._invites = log, 0, 0

    def invites(self) -> int:
        """INVITE transactions in the whole lines so far."""
        with self._log.open("rb") as file:
            file.seek(self._read)
            fresh = file.read()
        whole = fresh[: fresh.rfind(b"\n") + 1]
        self._read += len(whole)
        self._invites += whole.count(b'"k":"invite"')
        return self._invites


class Campaign:
    """One tenant of a running stack. `areas`: the three digits behind +1 that lead to each carrier."""

    def __init__(self, stack: Stack, areas: Mapping[str, str], name: str = "campaign") -> None:
        self.stack = stack
        self.account = stack.account(name)
        self._api = Api(stack.api, self.account.key, timeout_s=30)
        self._agent = agent_ref(stack.reference_agent(self.account))
        self._areas = dict(areas)
        self._numbers = {carrier: numbers(area) for carrier, area in areas.items()}
        self._ids = {carrier.name: carrier.id for carrier in carriers.list_limits(stack.db)}
        self._meters = {carrier: Meter(stack.arrivals(carrier)) for carrier in areas}
        self.posted: Counter[str] = Counter()

    # --- calls ----------------------------------------------------------------------------------------------------

    def post(self, wanted: Mapping[str, int]) -> None:
        """So many calls for each carrier, mixed; returns when all are accepted."""
        to = [next(self._numbers[carrier]) for carrier, count in wanted.items() for _ in range(count)]
        random.Random(len(to)).shuffle(to)
        with ThreadPoolExecutor(POSTERS) as posters:
            for _ in posters.map(self._post, to):
                pass
        self.posted.update(wanted)

    def _post(self, number: str) -> None:
        body = {"to": number, "from": "+14155550100", "agent_id": self._agent, "max_attempts": 1}
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                answer = self._api.post("/v1/calls", body, {"Idempotency-Key": f"campaign-{number}"})
            except (OSError, http.client.HTTPException) as error:
                status, said = 0, str(error)
            else:
                status, said = answer.status, str(answer.body)
            if status == 202:
                return
            if status not in (0, 409, 429, 500, 503) or time.monotonic() > deadline:
                raise RuntimeError(f"{number} was not accepted: {status} {said}")
            time.sleep(0.2)

    @contextmanager
    def held(self) -> Iterator[None]:
        """No carrier is dialed inside the block: what is posted there is a backlog that is let go at once."""
        for carrier in self._areas:
            carriers.set_paused(self.stack.db, self._ids[carrier], True)
        try:
            yield
        finally:
            for carrier in self._areas:
                carriers.set_paused(self.stack.db, self._ids[carrier], False)

    def statuses(self) -> Counter[str]:
        """How many calls are in each status, by the API."""
        return Counter(call["status"] for call in self._calls())

    def _calls(self) -> Iterator[dict[str, Any]]:
        """Every call the API lists."""
        after = ""
        while True:
            page = self._api.get(f"/v1/calls?limit=100{after}")
            if page.status != 200:
                raise RuntimeError(f"not listed: {page}")
            yield from page.body["data"]
            if not page.body["has_more"]:
                return
            after = f"&starting_after={page.body['next_cursor']}"

    # --- waiting --------------------------------------------------------------------------------------------------

    def invites(self, carrier: str) -> int:
        """INVITE transactions at the carrier so far."""
        return self._meters[carrier].invites()

    def wait_any(self, counts: Mapping[str, int], timeout_s: float = PATIENCE_S) -> None:
        """Until at one of the carriers so many INVITEs have arrived in all."""

        def there() -> bool:
            return any(self.invites(carrier) >= count for carrier, count in counts.items())

        wait_until(f"INVITEs, one of {dict(counts)}", there, timeout_s=timeout_s, every_s=0.1)

    def wait_dialed(self, timeout_s: float) -> None:
        """Until as many INVITEs have arrived at each carrier as calls were posted for it, or every call has ended: one that
        a switch that stood still never sent ends without. The TimeoutError tells what became of the calls.
        """
        deadline, look_at = time.monotonic() + timeout_s, 0.0
        while any(self.invites(carrier) < count for carrier, count in self.posted.items()):
            now = time.monotonic()
            if now > deadline:
                raise TimeoutError(f"waited {timeout_s:g} s for all INVITEs: {dict(self.statuses())}: {self.strange()}")
            if now >= look_at:
                if set(self.statuses()) <= ENDED:
                    return
                look_at = now + LOOK_S
            time.sleep(0.1)

    def strange(self, most: int = 5) -> list[dict[str, Any]]:
        """Calls that wait, or ended otherwise than these carriers end them, with their attempts."""
        found = [call for call in self._calls() if call["status"] not in ("busy", "completed")][:most]
        return [{**call, "attempts": self._api.get(f"/v1/calls/{call['id']}/attempts").body} for call in found]

    def wait_ended(self, timeout_s: float = PATIENCE_S) -> Counter[str]:
        """Until every call has ended; the statuses. Raises TimeoutError."""
        wait_until("every call to end", lambda: set(self.statuses()) <= ENDED, timeout_s=timeout_s, every_s=1.0)
        return self.statuses()

    # --- the verdict ----------------------------------------------------------------------------------------------

    def verdicts(self) -> dict[str, Verdict]:
        """What each carrier received, against what it allows."""
        return {
            one.name: judge(self.stack.arrivals(one.name), cps=one.cps, channels=one.channels)
            for one in self.stack.lab_carriers
        }

    def wrong(self, verdicts: Mapping[str, Verdict]) -> list[str]:
        """Everything a carrier or a callee could complain of."""
        found = [f"{name}: {text}" for name, verdict in verdicts.items() for text in verdict.violations]
        for name, verdict in verdicts.items():
            if set(verdict.verdicts) - {"admitted"}:
                found.append(f"{name} refused: {verdict.verdicts}")
            if verdict.repeated_numbers:
                found.append(f"{name}: dialed twice: {sorted(verdict.repeated_numbers)[:5]}")
            if verdict.open_at_end:
                found.append(f"{name}: {verdict.open_at_end} calls are still up")
        return found

    def shares(self, verdicts: Mapping[str, Verdict]) -> dict[str, float]:
        """The part of all INVITEs that each switch sent."""
        names = {place.sip: place.name for place in self.stack.places}
        sent: Counter[str] = Counter({place.name: 0 for place in self.stack.places})
        for verdict in verdicts.values():
            for source, count in verdict.sources.items():
                sent[names[source]] += count
        total = max(1, sent.total())
        return {name: count / total for name, count in sorted(sent.items())}

    def first_after(self, carrier: str, since_ns: int) -> float | None:
        """s from then to the carrier's next INVITE that was granted after it."""
        later = [
            record["t"] - since_ns
            for record in read_log(self.stack.arrivals(carrier))
            if record["k"] == "invite" and record["t"] - since_ns > AHEAD_S * 1e9
        ]
        return min(later) / 1e9 if later else None


@dataclass
class Faults:
    """Makes things stand still, in a thread of its own, and writes down when."""

    stack: Stack
    done: list[Fault] = field(default_factory=list)

    def pause(self, name: str, seconds: float) -> None:
        """SIGSTOP, so many seconds, SIGCONT: of a process by its name, or of ``redis``."""
        with self.paused(name):
            time.sleep(seconds)

    @contextmanager
    def paused(self, name: str) -> Iterator[None]:
        """It stands still inside the block."""
        begin = time.time_ns()
        self._send(name, signal.SIGSTOP)
        try:
            yield
        finally:
            self._send(name, signal.SIGCONT)
            self.done.append(Fault(f"{name}{STILL}", begin, time.time_ns()))

    def _send(self, name: str, number: signal.Signals) -> None:
        if name == "redis":
            self.redis.child.signal(number)
        else:
            self.stack.supervisor.signal(name, number)

    @property
    def redis(self) -> RedisServer:
        """The stack's own Redis."""
        if not isinstance(self.stack.redis, RedisServer):
            raise TypeError("the stack needs a Redis of its own: Stack(..., private=True)")
        return self.stack.redis

    def hiccups(self, rng: random.Random, stop: threading.Event) -> None:
        """Until `stop`: Redis stands still for 30 to 150 ms, every half second to two seconds."""
        while not stop.wait(rng.uniform(0.5, 2.0)):
            self.pause("redis", rng.uniform(0.03, 0.15))

    @contextmanager
    def in_background(self, *plans: Callable[[threading.Event], None]) -> Iterator[None]:
        """Each plan in a thread of its own, told to stop at the end of the block; an error in one is raised there."""
        stop = threading.Event()
        with ThreadPoolExecutor(len(plans)) as threads:
            running = [threads.submit(plan, stop) for plan in plans]
            try:
                yield
            finally:
                stop.set()
        for one in running:
            one.result()


def kept(verdicts: Mapping[str, Verdict], began_ns: int) -> dict[str, Any]:
    """The figures of each carrier, for people; times in s since `began_ns`."""
    return {
        name: (
            f"{verdict.invites} INVITEs, most in 1 s {verdict.peak_invites} of {verdict.cps_limit} (first at "
            f"{verdict.peak_invites_at - began_ns / 1e9:.2f}), most at once "
            f"{verdict.peak_channels} of {verdict.channel_limit}, {verdict.answered} answered"
        )
        for name, verdict in verdicts.items()
    }


def timeline(faults: Sequence[Fault], began_ns: int) -> str:
    """When what happened, in s since `began_ns`, and for how long; Redis' many hiccups as one."""
    brief = [fault for fault in faults if fault.what == HICCUP]
    told = [f"{f.what} {(f.begin - began_ns) / 1e9:.2f}+{(f.end - f.begin) / 1e9:.2f}" for f in faults if f not in brief]
    if brief:
        lengths = [(fault.end - fault.begin) / 1e6 for fault in brief]
        told.append(f"{HICCUP} {len(brief)} times for {min(lengths):.0f} to {max(lengths):.0f} ms")
    return ", ".join(told)
