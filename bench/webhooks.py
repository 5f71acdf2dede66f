"""Webhooks: what is told though receivers fail and dispatchers are killed, what a black hole costs others, POSTs a second.

Events are written to private Postgres as the platform writes them; dispatchers and receivers are processes of their own, and
everything is counted from the receiver's log, whose signatures the standard's own library verifies. `told`: 300 calls with
five events each to a receiver that fails three in ten (500, no answer, reset), the dispatcher killed (-9) after each 600.
`hole`: 80 events a second, the slowest hundredth at a receiver that is well, with a tenth of the events to one that never
answers, beside the same without, in turns. `sends`: the dispatcher's Poster beside `requests`, both in a gevent pool of 32,
to a receiver on loopback, per second of the sender's CPU: who else is on the machine is neither's business.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from os import getloadavg
from pathlib import Path
from statistics import quantiles
from typing import Any
from uuid import UUID

from bench import Ratio, Report, alternate
from calls.evidence import End, Evidence, Source, State
from calls.retry import RetryRules
from lab.liberty import give_the_world
from settings import Settings
from store import agents, attempts, calls, carriers, outbox, tenants, webhook_endpoints
from store.calls import NewCall
from store.migrate import migrate
from store.pool import Database, open_database
from trunkline import guests
from trunkline.private import free_port
from trunkline.servers import PostgresServer

CALLS, EVENTS_A_CALL = 300, 5
#: Requests between two kills.
KILL_EVERY = 600
RATE, SECONDS, ROUNDS = 80, 8.0, 2
POSTS = 2000
_LIMIT_S, _PATIENCE_S = 240.0, 180.0
#: As fast as it may be, so that what fails is seen to be told in the end.
_FAST = "[0" + ", 0.2" * 59 + "]"


def run() -> Report:
    before = getloadavg()[0]
    command = "from gevent import monkey; monkey.patch_all(); import runpy; "
    command += "runpy.run_module('bench.webhooks', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", command], stdout=subprocess.PIPE, text=True, timeout=_LIMIT_S, check=True)
    ours, peer = json.loads(done.stdout)
    server = PostgresServer(durable=True)
    try:
        told = _told(server.url)
        with_hole, without = _holes(server.url)
    finally:
        server.close()
    events = CALLS * EVENTS_A_CALL
    return Report(
        [
            Ratio("sends", ours, peer, "POSTs per second of CPU", "requests"),
            Ratio("told", told["told"], events, "events with a genuine 2xx", "events"),
            Ratio("twice", told["twice"] / events, 0.01, "of the events answered 2xx twice", "1 in 100"),
            Ratio("gaps", 1 + told["gaps"], 1, "1 + calls with a gap", "none"),
            Ratio("hole", with_hole, without, "ms to a receiver that is well, p99, beside a black hole", "without it"),
        ],
        {
            "told: requests, dispatchers killed": f"{told['requests']}, {told['killed']}",
            "told: last event after, s": told["seconds"],
            "load_average": f"{before:.1f} to {getloadavg()[0]:.1f}",
        },
    )


class House:
    """A database with one tenant, whose calls nobody dials; ``tell`` writes events as whoever changes a call does."""

    def __init__(self, url: str) -> None:
        migrate(url)
        self.url = url
        self._settings = Settings.model_validate({"database_url": url})
        self.db: Database = open_database(self._settings, "bench", cooperative=False, wait_s=10)
        self.tenant = tenants.create(self.db, name="bench")
        give_the_world(self.db, self.tenant.id)
        self._agent = agents.create(self.db, tenant_id=self.tenant.id, name="bench", kind="announcement", audio="a.wav").id
        self._carrier = carriers.put_carrier(self.db, name="bench", max_channels=10_000, cps=1000).id
        carriers.put_endpoint(self.db, carrier_id=self._carrier, gateway="bench", address="127.0.0.1:5060")

    def endpoint(self, url: str) -> str:
        """One more that hears of everything; its secret as the customer has it."""
        now = datetime.now(UTC)
        _, secret = webhook_endpoints.create(
            self.db, self.tenant.id, url=url, events=["*"], description=None, most=10, now=now
        )
        return "whsec_" + base64.b64encode(secret).decode()

    def call(self, **more: Any) -> UUID:
        """A call, and with it its first event; the id of its attempt."""
        now = datetime.now(UTC)
        until = now + timedelta(hours=1)
        given = (self.tenant.id, self._agent, "+4930123456", "+442079460000", "all", now, until, 1, 30, 60)
        return calls.accept_call(self.db, NewCall(*given, **more), idempotency=None, now=now).attempt_id

    def lives(self, attempts_of: Sequence[UUID]) -> None:
        """They are dialed, ring, are answered and end: four more events of each."""
        seen: list[Evidence] = []
        for one in attempts_of:
            now = datetime.now(UTC)
            claimed = attempts.claim(
                self.db, one, fence=1, epoch=0, switch="fs1", carrier_id=self._carrier, pdd_s=25, clock=now
            )
            assert isinstance(claimed, attempts.Claimed)
            end = End(cause="NORMAL_CLEARING", at=now, q850_cause=16, sip_code=200, disposition="recv_bye", answered_at=now)
            for state, of in ((State.RINGING, None), (State.IN_PROGRESS, None), (State.ENDED, end)):
                seen.append(Evidence(one, f"{one}:{state}", Source.EVENT, state, now, of))
        attempts.apply_evidence(self.db, seen, rules=RetryRules.of(self._settings), timers=self._settings)

    @contextmanager
    def dispatcher(self, **given: object) -> Iterator[Callable[[], None]]:
        """A dispatcher; what is yielded kills it and starts the next."""
        environment = {**os.environ, "DATABASE_URL": self.url, "TRUNKLINE_WEBHOOK_ALLOW_PRIVATE": "true"}
        environment |= {f"TRUNKLINE_{name.upper()}": str(value) for name, value in given.items()}

        def start() -> subprocess.Popen[bytes]:
            return subprocess.Popen([sys.executable, "-m", "jobs", "dispatcher"], env=environment, stderr=subprocess.DEVNULL)

        running = [start()]

        def again() -> None:
            running[-1].send_signal(signal.SIGKILL)
            running[-1].wait()
            running.append(start())

        try:
            yield again
        finally:
            running[-1].terminate()
            running[-1].wait(timeout=30)


@contextmanager
def receiver(directory: str) -> Iterator[tuple[int, Path]]:
    """A receiver's port and log."""
    port = free_port()
    log = Path(directory) / f"{port}.jsonl"
    process = subprocess.Popen([sys.executable, "-m", "bench._receiver", str(port), str(log)], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield port, log
    finally:
        process.kill()
        process.wait()


def read(log: Path) -> list[dict[str, Any]]:
    """Its whole lines."""
    return [json.loads(line) for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]


def _told(server_url: str) -> dict[str, Any]:
    """Three in ten fail, and a dispatcher is killed again and again."""
    from standardwebhooks import Webhook, WebhookVerificationError

    url = guests.create_database(server_url, "webhooks")
    house = House(url)
    with tempfile.TemporaryDirectory() as directory, receiver(directory) as (port, log):
        secret = Webhook(house.endpoint(f"http://127.0.0.1:{port}/flaky"))
        given = {"webhook_timeout_s": 0.5, "webhook_schedule_s": _FAST}
        with house.dispatcher(**given) as kill:
            began, killed = time.monotonic(), 0
            waiting = CALLS
            while waiting or (outbox.backlog(house.db) and time.monotonic() < began + _PATIENCE_S):
                if waiting:
                    house.lives([house.call() for _ in range(min(20, waiting))])
                    waiting -= min(20, waiting)
                else:
                    time.sleep(0.1)
                if killed < 5 and log.read_bytes().count(b"\n") > (killed + 1) * KILL_EVERY:
                    kill()
                    killed += 1
            seconds = time.monotonic() - began
        lines = read(log)
    house.db.close()
    guests.drop_database(server_url, url)
    taken: Counter[str] = Counter()
    told: dict[str, set[int]] = defaultdict(set)
    for line in lines:
        if line["code"] != 200:
            continue
        try:
            data = secret.verify(line["body"], line["headers"])["data"]
        except WebhookVerificationError:
            continue
        taken[line["headers"]["webhook-id"]] += 1
        told[data["id"]].add(data["sequence"])
    whole = set(range(1, EVENTS_A_CALL + 1))
    return {
        "told": len(taken),
        "twice": sum(times - 1 for times in taken.values()),
        "gaps": CALLS - sum(sequences == whole for sequences in told.values()),
        "requests": len(lines),
        "killed": killed,
        "seconds": round(seconds, 1),
    }


def _holes(server_url: str) -> tuple[float, float]:
    """p99 in ms of those to the receiver that is well: beside a black hole, and without it; the better round of each."""
    pairs = [(_p99(server_url, hole=True), _p99(server_url, hole=False)) for _ in range(ROUNDS)]
    return min(ours for ours, _ in pairs), min(peer for _, peer in pairs)


def _p99(server_url: str, *, hole: bool) -> float:
    url = guests.create_database(server_url, "webhooks")
    house = House(url)
    with tempfile.TemporaryDirectory() as directory, receiver(directory) as (well, log), receiver(directory) as (black, _):
        with house.dispatcher(), ThreadPoolExecutor(4) as pool:
            well_url, hole_url = f"http://127.0.0.1:{well}/ok", f"http://127.0.0.1:{black}/hole"
            house.call(webhook_url=well_url)
            while not read(log):  # it is up
                time.sleep(0.05)
            began = time.monotonic()
            for number in range(int(RATE * SECONDS)):
                time.sleep(max(0.0, began + number / RATE - time.monotonic()))
                if number % 10:
                    pool.submit(house.call, webhook_url=well_url)
                elif hole:
                    pool.submit(house.call, webhook_url=hole_url)
            pool.shutdown()
            wanted = 1 + sum(1 for number in range(int(RATE * SECONDS)) if number % 10)
            until = time.monotonic() + 30
            while len(lines := read(log)) < wanted:
                if time.monotonic() > until:
                    raise RuntimeError(f"{len(lines)} of {wanted} events arrived")
                time.sleep(0.1)
    house.db.close()
    guests.drop_database(server_url, url)
    waits = [line["t"] - datetime.fromisoformat(json.loads(line["body"])["timestamp"]).timestamp() for line in lines[1:]]
    return float(quantiles(waits, n=100)[98]) * 1000


def _sends() -> tuple[float, float]:
    """POSTs per second of CPU, in a process as a dispatcher's is: ours, and those of requests with a session that keeps its
    connections and asks no environment.
    """
    import requests
    from gevent.pool import Pool
    from requests.adapters import HTTPAdapter

    from calls.webhook_sign import signed_headers
    from jobs.webhook_post import Poster

    body = json.dumps({"type": "call.queued", "data": {"metadata": "x" * 1500}}).encode()
    with tempfile.TemporaryDirectory() as directory, receiver(directory) as (port, _):
        url = f"http://127.0.0.1:{port}/quick"
        poster = Poster(timeout_s=10.0, per_url=32, allow_private=True)
        session = requests.Session()
        session.trust_env = False
        session.mount("http://", HTTPAdapter(pool_maxsize=32))

        def rate(post: Callable[[dict[str, str]], bool]) -> float:
            def one(number: int) -> None:
                assert post(signed_headers([b"s" * 32], str(number), int(time.time()), body))

            pool, before = Pool(32), time.process_time()
            for number in range(POSTS):
                pool.spawn(one, number)
            pool.join(raise_error=True)
            return POSTS / (time.process_time() - before)

        def theirs(headers: dict[str, str]) -> bool:
            return session.post(url, data=body, headers=headers, timeout=10, allow_redirects=False).status_code == 200

        return alternate(3, lambda: rate(lambda headers: poster.post(url, headers, body).delivered), lambda: rate(theirs))


if __name__ == "__main__":
    print(json.dumps(_sends()))
