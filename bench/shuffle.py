"""Calls whose events come tripled and shuffled, and with a tenth of them lost, beside the same calls told in order and once.

Every house is a copy of one database of accepted calls; all evidence goes through the real store, by four writers at once.
What is compared are the rows of calls and attempts and the webhooks of each call. Where evidence is lost, the watchdog's
own sweep decides at the deadlines, and each row must say what happened, what the surviving evidence proves, or that nobody
knows.
"""

from __future__ import annotations

import os
import time

from bench import Ratio, Report
from lab.shuffles import House, Telling, Verdict, judge, miscounted, unequal
from store.migrate import migrate
from trunkline import guests
from trunkline.servers import PostgresServer

CALLS, SEED = 10_000, 1
LOST = 0.1
TELLINGS = {
    "reference": Telling(),
    "shuffled": Telling(copies=3, shuffled=True),
    "events_lost": Telling(copies=3, shuffled=True, events_lost=LOST),
    "cdrs_lost": Telling(copies=3, shuffled=True, cdrs_lost=LOST),
    "both_lost": Telling(copies=3, shuffled=True, events_lost=LOST, cdrs_lost=LOST),
}


def run() -> Report:
    """10,000 calls of seed 1, or as ``TRUNKLINE_BENCH_CALLS`` and ``TRUNKLINE_BENCH_SEED`` say."""
    count, seed = (int(os.environ.get(f"TRUNKLINE_BENCH_{n}", d)) for n, d in (("CALLS", CALLS), ("SEED", SEED)))
    server = PostgresServer()
    try:
        return measure(server.url, count, seed)
    finally:
        server.close()


def measure(server_url: str, count: int, seed: int) -> Report:
    """The report; ``server_url`` is where databases can be made."""
    began = time.monotonic()
    origin = guests.create_database(server_url, "shuffle")
    migrate(origin)
    first = House(origin, seed)
    first.fill(count)
    first.close()
    houses = {name: House(_copy(server_url, origin), seed) for name in TELLINGS}
    try:
        for name, telling in TELLINGS.items():
            houses[name].live(telling)
        differing = unequal(houses["reference"], houses["shuffled"])
        hooks = [text for house in houses.values() for text in miscounted(house)]
        verdicts = {name: judge(house) for name, house in houses.items()}
        attempts = verdicts["reference"].attempts
    finally:
        for url in [origin, *(house.url for house in houses.values())]:
            guests.drop_database(server_url, url)
        for house in houses.values():
            house.close()
    wrong = [text for verdict in verdicts.values() for text in verdict.wrong]
    rows = count + attempts
    return Report(
        [
            Ratio("equal", rows - len(differing), rows, "rows told tripled and shuffled", "equal to the reference"),
            Ratio("wrong", 1 + len(wrong), 1, "1 + wrong ends", "no wrong end"),
            Ratio("webhooks", 1 + len(hooks), 1, "1 + calls with a gap or not one end", "none"),
        ],
        {
            "calls": count,
            "attempts": attempts,
            **{name: _words(verdicts[name]) for name in TELLINGS if name.endswith("lost")},
            "differing": "; ".join(differing[:3]) or "none",
            "wrong ends": "; ".join(wrong[:3]) or "none",
            "webhooks miscounted": "; ".join(hooks[:3]) or "none",
            "took": f"{time.monotonic() - began:.0f} s",
        },
    )


def _copy(server_url: str, origin: str) -> str:
    return guests.create_database(server_url, "shuffle", template=guests.database_name(origin))


def _words(verdict: Verdict) -> str:
    seen = ", ".join(f"{count} by {name}" for name, count in sorted(verdict.witnesses.items()))
    return (
        f"{verdict.recovered} of {verdict.hurt} hurt recovered ({verdict.share:.4f}), {verdict.unknown} unknown;"
        f" of {verdict.attempts}: {seen}"
    )
