"""Many calls' evidence through the real store: in order and once; tripled and shuffled; with some of it lost.

A :class:`House` is one database of accepted calls, and :meth:`House.live` lets all of them live: round after round, whatever
is queued is claimed, and what its :class:`lab.stories.Story` tells is applied by several writers at once. What became of
attempt n of a call depends on the seed alone, so houses that were told the same differently can be compared row by row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

from calls.causes import classify
from calls.evidence import Evidence, Outcome, RetryClass, Source, State
from calls.lifecycle import AttemptFacts, fold
from calls.retry import RetryRules
from jobs.watchdog import PROBES, sweep
from lab.liberty import give_the_world
from lab.stories import Story, draw
from settings import Settings
from store import agents, attempts, calls, carriers, tenants
from store.pool import Database, open_database

#: In the past of every machine: Postgres takes nothing for overdue that is not so by its own clock.
T0 = datetime(2026, 1, 5, 12, tzinfo=UTC)
ROUND = timedelta(hours=12)
#: When a round's evidence is applied, and when everything that is still silent is past its deadline.
APPLIED, SILENT = timedelta(hours=2), timedelta(hours=9)
ROUNDS = 12
WRITERS = 4
BATCH = 50
ENDS = frozenset(f"call.{outcome}" for outcome in Outcome)
#: What no witness decides: how often the enterprise was told on the way, and ids that are made up anew.
VOLATILE = {"sequence", "id", "evidence", "evidence_key", "created_at"}


@dataclass(frozen=True, slots=True)
class Telling:
    """How the evidence arrives. ``copies``: so often each; ``shuffled``: across calls and batches; shares that are lost."""

    copies: int = 1
    shuffled: bool = False
    events_lost: float = 0.0
    cdrs_lost: float = 0.0


@dataclass(slots=True)
class Told:
    """What happened to one attempt: its story, what of it was seen, and whether the last event or the CDR was lost."""

    story: Story
    began: datetime
    surviving: list[Evidence]
    lost_end: bool
    lost_cdr: bool


@dataclass
class House:
    """One database with calls in it. ``told`` is filled by :meth:`live`, by call and number of the attempt."""

    url: str
    seed: int
    told: dict[tuple[UUID, int], Told] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # What is compared is what comes of it, not how soon: a machine with no time to spare must not end it.
        patient = {"db_statement_timeout_ms": 120_000, "db_pool_timeout_s": 120}
        options = {"database_url": self.url, "db_pool_size": 2 * WRITERS, **patient}
        self.settings = Settings.model_validate(options)
        self.db: Database = open_database(self.settings, "shuffle", cooperative=False, wait_s=10)

    def close(self) -> None:
        self.db.close()

    def fill(self, count: int) -> None:
        """A tenant with ``count`` calls, none of them dialed."""
        tenant = tenants.create(self.db, name="shuffle", webhook_url="https://shuffle.example/hook")
        give_the_world(self.db, tenant.id)
        agent = agents.create(self.db, tenant_id=tenant.id, name="bot", kind="websocket", url="ws://127.0.0.1:9000/")
        carrier = carriers.put_carrier(self.db, name="shuffle", max_channels=10, cps=5)
        carriers.put_endpoint(self.db, carrier_id=carrier.id, gateway="shuffle", address="127.0.0.1:5060")
        random = Random(f"calls {self.seed}")

        def accept(number: int) -> None:
            new = calls.NewCall(
                tenant.id, agent.id, f"+1212{2_000_000 + number}", "+12025550100", "all", T0, T0 + timedelta(days=30),
                max_attempts=3, ring_timeout_s=30, max_duration_s=3600, id=ids[number], attempt_id=ids[~number],
            )  # fmt: skip
            calls.accept_call(self.db, new, idempotency=None, now=T0)

        ids = [UUID(int=random.getrandbits(128), version=4) for _ in range(2 * count)]
        with ThreadPoolExecutor(WRITERS) as pool:
            list(pool.map(accept, range(count)))

    def live(self, telling: Telling) -> None:
        """Every call to its end."""
        random = Random(f"telling {self.seed} {telling}")
        before: list[Evidence] = []
        for number in range(ROUNDS):
            began = T0 + ROUND * number + timedelta(hours=1)
            if not self._claim(began):
                return
            now = T0 + ROUND * number + APPLIED
            evidence = [one for story in self._stories(began, random, telling) for one in story.surviving]
            fresh = [one for one in evidence for _ in range(telling.copies)]
            if telling.shuffled:
                # Copies of what an earlier attempt said come late, too.
                fresh += random.sample(before, len(before) // 10)
                random.shuffle(fresh)
            self._apply(fresh, now)
            self._silence(T0 + ROUND * number + SILENT)
            before = evidence
        raise RuntimeError(f"shuffle: calls are still being retried after {ROUNDS} rounds")

    def _claim(self, now: datetime) -> int:
        """Dials whatever is queued; how many that were."""
        with self.db.connection() as conn:
            queued = conn.execute("SELECT id FROM attempts WHERE state = 'queued' AND due_at <= %s", [now]).fetchall()
            (carrier,) = conn.execute("SELECT id FROM carriers").fetchone() or (None,)
        assert isinstance(carrier, UUID)

        def claim(row: tuple[UUID]) -> None:
            done = attempts.claim(self.db, row[0], fence=1, epoch=0, switch="fs1", carrier_id=carrier, pdd_s=25, clock=now)
            if not isinstance(done, attempts.Claimed):
                raise TypeError(f"shuffle: not claimed: {done.reason}")

        with ThreadPoolExecutor(WRITERS) as pool:
            list(pool.map(claim, queued))
        return len(queued)

    def _stories(self, began: datetime, random: Random, telling: Telling) -> list[Told]:
        """What happens to everything that was just claimed, and what of it is not lost."""
        with self.db.connection() as conn:
            dialing = conn.execute(
                "SELECT id, call_id, number FROM attempts WHERE state = 'dialing' ORDER BY call_id, number"
            ).fetchall()
        found = []
        for attempt, call, number in dialing:
            story = draw(Random(f"{self.seed} {call} {number}"), ring_timeout_s=30, pdd_s=25)
            seen = story.seen(attempt, began, f"{attempt}:{{}}".format)
            kept = [one for one in seen if random.random() >= telling.events_lost]
            cdr = story.cdr(attempt, began)
            cdr_lost = cdr is None or random.random() < telling.cdrs_lost
            surviving = kept if cdr is None or cdr_lost else [*kept, cdr]
            told = Told(story, began, surviving, seen[-1] not in kept, cdr_lost)
            self.told[call, number] = told
            found.append(told)
        return found

    def _apply(self, evidence: Sequence[Evidence], now: datetime) -> None:
        rules = RetryRules.of(self.settings)

        def apply(batch: Sequence[Evidence]) -> None:
            attempts.apply_evidence(self.db, batch, rules=rules, timers=self.settings, now=now)

        with ThreadPoolExecutor(WRITERS) as pool:
            list(pool.map(apply, [evidence[i : i + BATCH] for i in range(0, len(evidence), BATCH)]))

    def _silence(self, now: datetime) -> None:
        """The watchdog looks at what is past its deadline until it has decided on all of it. No switch answers."""
        while self._count("state NOT IN ('queued', 'ended')"):
            for _ in range(PROBES + 1):
                sweep(self.db, self.settings, now)
                now += timedelta(seconds=self.settings.probe_grace_s + 1)

    def _count(self, where: str) -> int:
        with self.db.connection() as conn:
            row = conn.execute(f"SELECT count(*) FROM attempts WHERE {where}".encode()).fetchone()
        assert row is not None
        return int(row[0])

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Every row of ``calls`` or ``attempts`` as it is now."""
        with psycopg.connect(self.url, row_factory=dict_row) as conn:
            return conn.execute(f"SELECT * FROM {table}".encode()).fetchall()

    def webhooks(self) -> dict[UUID, list[tuple[int, str]]]:
        """(sequence, type) of every webhook, by call, in order."""
        found: dict[UUID, list[tuple[int, str]]] = {}
        with self.db.connection() as conn:
            for call, sequence, kind in conn.execute("SELECT call_id, sequence, type FROM outbox ORDER BY sequence"):
                found.setdefault(call, []).append((sequence, kind))
        return found


def unequal(reference: House, other: House) -> list[str]:
    """Every call or attempt whose row is not the reference's, with the columns that differ."""
    found = []
    for table, key in (("calls", ("id",)), ("attempts", ("call_id", "number"))):
        ours, theirs = ({tuple(row[k] for k in key): row for row in house.rows(table)} for house in (reference, other))
        for name in ours.keys() | theirs.keys():
            if name not in ours or name not in theirs:
                found.append(f"{table} {name}: {'more' if name in theirs else 'missing'}")
                continue
            differs = [c for c in ours[name] if c not in VOLATILE - {"evidence"} and ours[name][c] != theirs[name][c]]
            if differs:
                found.append(f"{table} {name}: {differs}")
    return found


def miscounted(house: House) -> list[str]:
    """Calls whose webhooks have a gap, do not go as far as the call says, or tell anything but one end."""
    sequences = {row["id"]: row["sequence"] for row in house.rows("calls")}
    found = []
    for call, hooks in house.webhooks().items():
        if [sequence for sequence, _ in hooks] != list(range(1, sequences[call] + 1)):
            found.append(f"{call}: gaps: {hooks}")
        if len([kind for _, kind in hooks if kind in ENDS]) != 1:
            found.append(f"{call}: not one end: {hooks}")
    return found


@dataclass(slots=True)
class Verdict:
    """What became of the attempts of a house with losses; ``wrong`` says of each row that is worse than unknown why."""

    attempts: int = 0
    wrong: list[str] = field(default_factory=list)
    hurt: int = 0  # an event or the CDR of the end was lost
    recovered: int = 0  # of those, rows that say all that happened
    unknown: int = 0
    witnesses: Counter[str] = field(default_factory=Counter)

    @property
    def share(self) -> float:
        """Recovered of those hurt."""
        return self.recovered / self.hurt if self.hurt else 1.0


def judge(house: House) -> Verdict:
    """Each row must say what happened, what the surviving evidence proves, or that nobody knows."""
    verdict = Verdict()
    for row in house.rows("attempts"):
        verdict.attempts += 1
        told = house.told[row["call_id"], row["number"]]
        proves = fold(AttemptFacts(State.DIALING), told.surviving)
        truth = classify(told.story.end(told.began))
        verdict.witnesses[row["evidence"]] += 1
        unknown = row["retry_class"] == RetryClass.UNKNOWN or row["uncertain"]
        is_true = (row["outcome"], row["end_reason"]) == (truth.outcome, truth.end_reason)
        if proves.ended:
            says = {name: getattr(proves, name) for name in AttemptFacts.__dataclass_fields__}
            if any(row[name] != value for name, value in says.items()):
                verdict.wrong.append(f"{row['id']}: not what was seen: {row['outcome']} {row['end_reason']}")
        elif row["evidence"] != Source.WATCHDOG:
            verdict.wrong.append(f"{row['id']}: nobody saw an end, but {row['evidence']} says so")
        elif not unknown and row["outcome"] != truth.outcome:
            verdict.wrong.append(f"{row['id']}: {row['outcome']}, but it was {truth.outcome}")
        if told.lost_end or (told.lost_cdr and told.story.sent):
            verdict.hurt += 1
            verdict.recovered += is_true
            verdict.unknown += unknown and not is_true
        elif not is_true:
            verdict.wrong.append(f"{row['id']}: {row['outcome']}, but it was {truth.outcome} and everybody saw it")
    return verdict
