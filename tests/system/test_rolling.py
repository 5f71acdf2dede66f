"""One version is exchanged for the next while calls flow: migrations before and after, new scripts, one process at a time.

The new version is this one with other scripts (their version, and so the prefix of all their keys, is another) and two more
migrations. Two switches, so old and new dial side by side; what came of it is judged at the carrier's raw arrival log.
"""

from __future__ import annotations

import pathlib
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import psycopg
import pytest
import redis

from lab.judge import read_log
from store import epoch
from store.migrate import Migration, MigrationError, migrate, newest, read_migrations
from tests.system.house import PATIENCE_S, SHARED, House
from tests.system.truth import Allowed, broken_limits, strangers
from trunkline.children import wait_until
from trunkline.stack import LabCarrier, Route, Stack

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

ROOT = pathlib.Path(__file__).resolve().parents[2]
CARRIER = LabCarrier("lab_a", channels=12, cps=8, ring="0.3:0.6", talk="0.6:1.2")
OLD, NEW = 2, 3
#: Calls that wait at any time.
WAITING = 20
#: In the order of docs/operations.md: first those that dial, then the one that opens the new budget, then the rest.
FIRST = ("controller-fs1",)
LATER = (
    *("controller-fs2", "web", "health", "watchdog", "dispatcher", "relay-fs1", "relay-fs2"),
    *("recordings-fs1", "recordings-fs2"),
)


def more() -> list[Migration]:
    """What the new version has beside ours: a migration for before, over the busiest tables, and one for after."""
    known = read_migrations()
    sqls = {
        f"{newest() + 1:04d}_new": "ALTER TABLE attempts ADD COLUMN new integer NOT NULL DEFAULT 0;"
        " ALTER TABLE calls ADD COLUMN new integer NOT NULL DEFAULT 0; CREATE INDEX calls_new ON calls (new, id)",
        f"{newest() + 2:04d}_old.post": "DROP INDEX calls_new; ALTER TABLE attempts DROP COLUMN new",
    }
    return known + [replace(known[0], name=name, sql=sql.encode(), checksum=name.encode()) for name, sql in sqls.items()]


@contextmanager
def flowing(house: House) -> Iterator[None]:
    """Calls are posted all the while, whoever is being exchanged, as long as few wait."""
    over = threading.Event()

    def post() -> None:
        while not over.wait(0.05):
            if len(house.posted) - house.invites(CARRIER.name) < WAITING:
                house.post()

    poster = threading.Thread(target=post)
    poster.start()
    try:
        yield
    finally:
        over.set()
        poster.join(PATIENCE_S)
        assert not poster.is_alive()


def test_old_and_new_side_by_side(tmp_path: pathlib.Path) -> None:
    version = tmp_path / "version"
    version.write_text(f"{OLD} {newest()}")
    as_version = "python -m tests.system.version"
    stack = Stack(
        ROOT,
        [CARRIER],
        [Route("all", ("",), ("lab_a",))],
        environ=SHARED | {"TRUNKLINE_TEST_VERSION_FILE": str(version), "TRUNKLINE_RECONCILE_INTERVAL_S": "2"},
        switches=2,
        commands={
            "web": "gunicorn --no-control-socket -c python:web.gunicorn_conf tests.system.version:app",
            **{f"controller-{name}": f"{as_version} controller" for name in ("fs1", "fs2")},
            **{f"relay-{name}": f"{as_version} controller.relay" for name in ("fs1", "fs2")},
            **{name: f"{as_version} jobs {name}" for name in ("feeder", "health", "watchdog", "dispatcher")},
            **{f"recordings-{name}": f"{as_version} jobs recordings" for name in ("fs1", "fs2")},
        },
    )
    with stack:
        house = House(stack)
        log, files = stack.arrivals(CARRIER.name), more()

        def restart(*names: str) -> None:
            """Each is asked once, and takes the time that it needs."""
            for name in names:
                stack.supervisor.signal(name, signal.SIGTERM)
            for name in names:
                stack.supervisor.wait_gone(name, PATIENCE_S)
                assert stack.supervisor.stop(name, PATIENCE_S) == 0, stack.supervisor.tail(name)
                stack.supervisor.start(name)

        def dials(switch: int, invites: int = 3) -> None:
            """So many more INVITEs came from that switch."""
            since = time.time_ns()
            wait_until(f"fs{switch} to dial", lambda: dialed(switch, since) >= invites, timeout_s=PATIENCE_S, every_s=0.1)

        def dialed(switch: int, since: int) -> int:
            peer = stack.places[switch - 1].sip
            return sum(r["k"] == "invite" and r["peer"] == peer and r["t"] > since for r in read_log(log))

        with flowing(house):
            dials(1)
            assert migrate(stack.database_url, phase="pre", migrations=files) == [files[-2].name]
            with pytest.raises(MigrationError, match="not know it"):
                migrate(stack.database_url, phase="post", migrations=files)
            version.write_text(f"{NEW} {newest() + 2}")
            restart(*FIRST)
            dials(2)  # the old one has the budget, and the new one none
            assert epoch.get(stack.db).scripts == OLD
            restart("feeder")
            dials(1)  # the new one has it
            since = time.time_ns()
            dials(1, 2 * CARRIER.cps)
            # And the old one none, though it is up, calls wait, and the old web goes on pushing for it.
            assert (epoch.get(stack.db).scripts, stack.supervisor.dead(), dialed(2, since)) == (NEW, [], 0)
            restart(*LATER)
            stack.wait_ready()
            dials(2)
            stack.db.close()  # it is ours, and knows no new migration
            assert migrate(stack.database_url, phase="post", migrations=files) == [files[-1].name]
            dials(1, invites=2)
        house.wait_ended(house.posted)
        seen = [house.see(call) for call in house.posted]
        wrong = broken_limits(log, cps=CARRIER.cps, channels=CARRIER.channels)
        wrong += house.differences(house.posted, Allowed(unseen=True)) + strangers(house.legs(), seen)
        assert not wrong, "\n".join(wrong)
        assert {call["status"] for call in seen} <= {"completed", "failed"}
        with redis.Redis.from_url(stack.redis_url) as connection:
            held = f"tl{NEW}:held"
            wait_until("leases to be given back", lambda: leases(connection, held) == 0, timeout_s=PATIENCE_S, every_s=0.2)
            assert not connection.exists(f"tl{OLD}:epoch")
        with psycopg.connect(stack.database_url) as conn:
            assert conn.execute("SELECT count(*) FROM attempts WHERE epoch IS NULL AND state <> 'ended'").fetchone() == (0,)


def leases(connection: redis.Redis, held: str) -> int:
    found = sum(int(str(connection.zcard(key))) for key in connection.scan_iter(f"{held}:*"))
    return found + int(str(connection.hlen(held)))
