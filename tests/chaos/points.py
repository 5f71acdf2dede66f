"""Every named crash point, the process that dies at it, and what makes that process come by."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import redis

from budget import permits
from calls.watch import YOUNG_S
from store import carriers
from tests.system.house import PLAIN, House, redis_of
from trunkline.children import wait_until
from trunkline.stack import Stack
from trunkline.supervisor import Supervisor

#: s; of a wait for a process to pass its point.
SOON_S = 40.0
BUSY, TRYING, NOT_FOUND, TALKS_ON, RINGS_ON = "0101", "0119", "0104", "0122", "0102"


@dataclass
class Scene:
    """One point's stage: the house, the calls of this point, and the lab switch's ear for `api ...`."""

    house: House
    api: Callable[[str], str]
    died: Callable[[], bool]
    ids: list[str] = field(default_factory=list)
    owed: list[Callable[[], None]] = field(default_factory=list)  # to be done when the process runs again

    def post(self, *endings: str, max_attempts: int = 1) -> None:
        self.ids += [self.house.post(ending, max_attempts=max_attempts) for ending in endings]

    def wait_died(self) -> None:
        wait_until("the process to pass its crash point", self.died, timeout_s=SOON_S)


Provoke = Callable[[Scene], None]


def calls(scene: Scene) -> None:
    """A few of each kind; one is worth two attempts."""
    scene.post(BUSY, max_attempts=2)
    scene.post(PLAIN, BUSY, NOT_FOUND)


def claimed_late(scene: Scene) -> None:
    """Claims wait for a lock until their slots have passed, which lie a fraction of a second ahead at the most."""
    db = scene.house.stack.db

    def waits() -> bool:
        with db.connection() as conn:
            asked = (
                b"SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name ~ 'controller'"
            )
            row = conn.execute(asked).fetchone()
        return row is not None and row[0] > 0

    with db.connection() as holder:
        holder.execute("SELECT FROM budget_epoch FOR UPDATE")
        calls(scene)
        wait_until("a claim to wait", waits, timeout_s=SOON_S)
        time.sleep(1.0)


def talking(scene: Scene) -> None:
    """A call that goes on, whatever dies meanwhile."""
    scene.post(TALKS_ON)
    scene.owed.append(lambda: scene.house.hang_up(scene.ids[0]))


def wiped(scene: Scene) -> None:
    """Redis forgets everything while a call talks and others wait."""
    scene.post(TALKS_ON)
    scene.house.wait(scene.ids[0], "in_progress")
    server = redis_of(scene.house.stack)
    server.kill()
    server.start()
    scene.post(BUSY, PLAIN)
    scene.owed.append(lambda: scene.house.hang_up(scene.ids[0]))


def posted(scene: Scene) -> None:
    """The API dies over a request, which is sent again under its key when it runs again."""
    order = scene.house.order(BUSY)
    assert scene.house.try_request("POST", "/v1/calls", *order) is None, "answered, and was to die"
    scene.owed.append(lambda: scene.ids.append(scene.house.insist(*order)))


def posted_together(scene: Scene) -> None:
    """The API dies over a batch, which is sent again under its key when it runs again: its calls are there once."""
    orders, keys = zip(*(scene.house.order(ending) for ending in (BUSY, PLAIN, BUSY, NOT_FOUND)), strict=True)
    body = {"calls": [*orders, {**orders[0], "to": "112"}]}
    assert scene.house.try_request("POST", "/v1/batches", body, keys[0]) is None, "answered, and was to die"

    def again() -> None:
        placed = scene.house.insist_batch(body, keys[0])
        assert (placed["accepted"], placed["refused"]) == (4, 1)
        scene.ids += [row["call_id"] for row in placed["calls"] if row["call_id"]]
        listed = scene.house.api.get("/v1/calls?limit=100").body["data"]
        numbers = [order["to"] for order in orders]
        assert sorted(call["id"] for call in listed if call["to"] in numbers) == sorted(scene.ids)

    scene.owed.append(again)


def hung_up(scene: Scene) -> None:
    """A call that talks and one that rings are to be hung up."""
    scene.post(TALKS_ON, RINGS_ON)
    scene.house.wait(scene.ids[0], "in_progress")
    scene.house.wait(scene.ids[1], "ringing")
    for call in scene.ids:
        scene.house.hang_up(call)


def wish_unanswered(scene: Scene) -> None:
    """The API dies over the wish to hang up, which it has written down."""
    scene.post(TALKS_ON)
    scene.house.wait(scene.ids[0], "in_progress")
    path = f"/v1/calls/{scene.ids[0]}/actions/hangup"
    assert scene.house.try_request("POST", path, {}) is None, "answered, and was to die"


def silent(scene: Scene) -> None:
    """A carrier that says nothing but Trying: past the deadline the switch is asked."""
    scene.post(TRYING, BUSY)


def silent_and_alone(scene: Scene) -> None:
    """Nobody answers the watchdog's question either: the controller is gone."""
    scene.post(TRYING)
    wait_until("its INVITE", lambda: scene.house.leg(scene.ids[0]) is not None, timeout_s=SOON_S)
    supervisor = scene.house.stack.supervisor
    supervisor.kill("controller")
    supervisor.stop("controller")  # nobody is to miss it
    scene.owed.append(lambda: _start(supervisor))


def _start(supervisor: Supervisor) -> None:
    supervisor.start("controller")


def unleased(scene: Scene) -> None:
    """A live call whose lease Redis has lost."""
    scene.post(TALKS_ON)
    scene.house.wait(scene.ids[0], "in_progress")
    stack = scene.house.stack
    known = [one.id for one in carriers.list_limits(stack.db)]
    with redis.Redis.from_url(stack.redis_url) as connection:
        (lease,) = permits.leases(connection, known)
        assert permits.release(connection, lease.attempt_id, lease.fence, linger_us=0)
    scene.owed.append(lambda: scene.house.hang_up(scene.ids[0]))


def age_s(stack: Stack, attempt: str) -> float:
    """s since the attempt was claimed."""
    with stack.db.connection() as conn:
        row = conn.execute("SELECT claimed_at FROM attempts WHERE id = %s", [attempt]).fetchone()
    assert row is not None
    return (datetime.now(UTC) - row[0]).total_seconds()


def unseen(scene: Scene) -> None:
    """A channel ends, and its events are lost on the way."""
    scene.post(TALKS_ON)
    scene.house.wait(scene.ids[0], "in_progress")
    (attempt,) = scene.house.see(scene.ids[0])["attempts"]
    wait_until("a row that may be concluded about", lambda: age_s(scene.house.stack, attempt["id"]) > YOUNG_S, timeout_s=60)
    scene.api("lab fault drop_events 1")
    scene.api(f"uuid_kill {attempt['id']}")
    scene.api("lab fault clear")


@dataclass(frozen=True)
class Point:
    """`unknown`: an end may be unknown, because what left the switch, or what the switch told, died with the process.

    `ci`: among those that are tried every time; the others by ``make chaos``. `environ`: what makes it be passed, also
    that of the controller that dies before.
    """

    name: str
    process: str
    provoke: Provoke
    unknown: bool = False
    ci: bool = False
    environ: Mapping[str, str] = field(default_factory=dict)
    first: str = ""  # the point at which the controller on duty dies before


#: The sweep must not give back first what the next controller is to find.
UNSWEPT = {"TRUNKLINE_POPPED_DEADLINE_S": "60"}

POINTS = (
    # Permits and dials.
    Point("pump.granted", "controller", calls),
    Point("dial.begun", "controller", calls),
    Point("dial.claimed", "controller", calls, ci=True),
    Point("dial.tombstoned", "controller", calls, unknown=True, ci=True),
    Point("dial.written", "controller", calls, unknown=True, ci=True),
    Point("dial.acknowledged", "controller", calls, unknown=True),
    Point("dial.unclaimed", "controller", claimed_late),
    # Ends.
    Point("writer.end_seen", "controller", calls, unknown=True, ci=True),
    Point("change.end_written", "controller", calls, unknown=True),
    Point("change.retry_decided", "controller", calls, unknown=True, ci=True),
    Point("writer.end_committed", "controller", calls, unknown=True),
    Point("writer.released", "controller", calls, unknown=True),
    # The API.
    Point("accept.written", "web", posted),
    Point("web.committed", "web", posted, ci=True),
    Point("web.laned", "web", posted),
    Point("batch.written", "web", posted_together, ci=True),
    Point("batch.committed", "web", posted_together),
    Point("web.hangup_asked", "web", wish_unanswered),
    # The feeder.
    Point("feeder.pushed", "feeder", calls),
    Point("rebuild.bumped", "feeder", wiped, ci=True),
    Point("rebuild.wiped", "feeder", wiped),
    Point("rebuild.adopted", "feeder", wiped),
    Point("rebuild.ready", "feeder", wiped),
    Point("rebuild.opened", "feeder", wiped),
    # The watchdog.
    Point("watchdog.asked", "watchdog", silent, unknown=True),
    Point("watchdog.concluded", "watchdog", silent_and_alone, unknown=True),
    # Webhooks.
    Point("dispatcher.claimed", "dispatcher", calls),
    Point("dispatcher.posted", "dispatcher", calls, ci=True),
    # A standby that takes over from a controller that has died, and dies over it.
    Point("takeover.on_duty", "standby", calls, unknown=True, first="dial.written", ci=True),
    Point("takeover.heard", "standby", calls, unknown=True, first="writer.end_seen"),
    Point("takeover.given_back", "standby", calls, environ=UNSWEPT, first="pump.granted"),
    Point("takeover.vouched", "standby", talking, unknown=True, first="dial.acknowledged"),
    # What is compared, and what is asked for.
    Point("reconcile.adopted", "controller", unleased),
    Point("reconcile.concluded", "controller", unseen, unknown=True),
    Point("command.noted", "controller", hung_up),
    Point("command.killed", "controller", hung_up, unknown=True),
)
