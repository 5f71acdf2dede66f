"""A tenant of a running stack: posts calls that can be told apart at the carrier, waits for them, compares both sides."""

from __future__ import annotations

import contextlib
import http.client
import time
from collections.abc import Collection, Iterable, Iterator
from functools import partial
from typing import Any

import redis

from budget.replies import number
from budget.scripts import PREFIX
from calls.ids import agent_ref
from lab.judge import read_log
from tests.system.truth import Allowed, Leg, clock, differences, legs
from trunkline.api import Answer, Api
from trunkline.children import wait_until
from trunkline.servers import PostgresServer, RedisServer
from trunkline.stack import Account, Stack

ENDED = frozenset({"completed", "failed", "no_answer", "busy", "canceled", "expired", "blocked"})
#: Endings the lab has no magic for: the carrier's own mix decides.
PLAIN = "4000"
#: The switch of a house shares two cores with twenty other processes, and with another house beside it. What it adds
#: between its answer to an originate and the INVITE is stated as it is there (docs/budget.md); limits are judged as ever.
SHARED = {"TRUNKLINE_SWITCH_JITTER_MS": "180", "TRUNKLINE_JITTER_MS": "200"}
#: s; of a wait that no healthy house needs, however slow the machine.
PATIENCE_S = 60.0


class House:
    """`area` (three digits behind +1) chooses the route; the next three digits are each call's own."""

    def __init__(self, stack: Stack, name: str = "acme", *, webhook_url: str | None = None) -> None:
        self.stack = stack
        self.account: Account = stack.account(name, webhook_url=webhook_url)
        self.api = Api(stack.api, self.account.key)
        self.agent = agent_ref(stack.reference_agent(self.account))
        self.posted: list[str] = []
        self.numbers: dict[str, str] = {}  # by call
        self._exchanges: dict[str, Iterator[int]] = {}  # by area

    # --- the API --------------------------------------------------------------------------------------------------

    def try_request(self, method: str, path: str, body: object = None, key: str = "") -> Answer | None:
        """The answer, or None when nobody answered."""
        try:
            return self.api.request(method, path, body, {"Idempotency-Key": key} if key else None)
        except (OSError, http.client.HTTPException):
            return None

    def post(self, ending: str = PLAIN, *, area: str = "415", **more: object) -> str:
        """One accepted call to a number nobody else has, posted again under the same key until it is accepted; its id."""
        return self.insist(*self.order(ending, area=area, **more))

    def order(self, ending: str = PLAIN, *, area: str = "415", **more: object) -> tuple[dict[str, object], str]:
        """(body, idempotency key) of a call to a number nobody else has, not posted yet."""
        # The numbering plan has no N11 exchange.
        free = self._exchanges.setdefault(area, (n for n in range(220, 1000) if n % 100 != 11 and n != 555))
        exchange = next(free, None)
        assert exchange, f"all numbers of area {area} are used up by {len(self.posted)} calls"
        to = f"+1{area}{exchange}{ending}"
        body = {"to": to, "from": "+14155550100", "agent_id": self.agent, "max_attempts": 1, **more}
        return body, f"house-{area}-{exchange}"

    def insist(self, body: dict[str, object], key: str) -> str:
        """Posts an order again and again until it is accepted; the call's id."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            answer = self.try_request("POST", "/v1/calls", body, key)
            if answer is not None and answer.status == 202:
                self.posted.append(str(answer.body["id"]))
                self.numbers[self.posted[-1]] = str(body["to"])
                return self.posted[-1]
            assert answer is None or answer.status in (409, 429, 500, 503), answer
            assert time.monotonic() < deadline, answer
            time.sleep(0.1)

    def insist_batch(self, body: dict[str, object], key: str) -> dict[str, Any]:
        """Posts a batch again and again until it is accepted; the answer."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            answer = self.try_request("POST", "/v1/batches", body, key)
            if answer is not None and answer.status == 202:
                placed: dict[str, Any] = answer.body
                self.posted += [row["call_id"] for row in placed["calls"] if row["call_id"]]
                return placed
            assert answer is None or answer.status in (409, 429, 500, 503), answer
            assert time.monotonic() < deadline, answer
            time.sleep(0.1)

    def post_together(self, orders: Iterable[dict[str, object]]) -> list[str]:
        """All of these accepted in one request, so that they wait at once however slow the machine is; their ids."""
        calls = list(orders)
        placed = self.insist_batch({"calls": calls}, f"together-{calls[0]['to']}")
        assert placed["refused"] == 0, placed
        ids = [str(row["call_id"]) for row in placed["calls"]]
        self.numbers |= {id_: str(order["to"]) for id_, order in zip(ids, calls, strict=True)}
        return ids

    def hang_up(self, call: str) -> None:
        """Asks for it; the wish is on record when this returns."""
        answer = self.api.post(f"/v1/calls/{call}/actions/hangup", {})
        assert answer.status in (200, 202), answer

    def see(self, call: str) -> dict[str, Any]:
        """The call with its ``attempts``."""
        found, dials = self.api.get(f"/v1/calls/{call}"), self.api.get(f"/v1/calls/{call}/attempts")
        assert (found.status, dials.status) == (200, 200), (found, dials)
        return {**found.body, "attempts": dials.body["data"]}

    def listed(self) -> list[dict[str, Any]]:
        """Every call the API lists."""
        calls: list[dict[str, Any]] = []
        after = ""
        while True:
            page = self.api.get(f"/v1/calls?limit=100{after}")
            assert page.status == 200, page
            calls += page.body["data"]
            if not page.body["has_more"]:
                return calls
            after = f"&starting_after={page.body['next_cursor']}"

    # --- waiting --------------------------------------------------------------------------------------------------

    def wait(self, call: str, *statuses: str) -> dict[str, Any]:
        """The call as soon as it is in one of `statuses`. An end that is none of them fails at once."""

        def there() -> bool:
            status = self.see(call)["status"]
            assert status in statuses or status not in ENDED, self.see(call)
            return status in statuses

        wait_until(f"{call} to be {' or '.join(statuses)}", there, timeout_s=PATIENCE_S, every_s=0.05)
        return self.see(call)

    def wait_ended(self, ids: Collection[str]) -> None:
        """All of them have ended. Says which did not, and what became of the processes."""
        left = dict.fromkeys(ids, "unread")
        deadline = time.monotonic() + PATIENCE_S
        while left:
            for call in list(left):
                answer = self.try_request("GET", f"/v1/calls/{call}")
                if answer is not None and answer.status == 200:
                    left[call] = answer.body["status"]
                    if left[call] in ENDED:
                        del left[call]
            assert not left or time.monotonic() < deadline, f"not ended: {left}\n{self.obituary()}"
            time.sleep(0.1)

    def obituary(self) -> str:
        """The last words of the processes that should run and do not, else of the controllers."""
        supervisor = self.stack.supervisor
        controllers = [name for name in supervisor.names if name.startswith("controller")]
        return "\n".join(f"{name}: {supervisor.tail(name, 8)}" for name in supervisor.dead() or controllers)

    def wait_agents(self, ids: Collection[str]) -> None:
        """Each of these calls has been dialed and is connected to its agent."""

        def connected(call: str) -> bool:
            events = self.api.get(f"/v1/calls/{call}/events")
            assert events.status == 200, events
            return any(event["type"] == "relay.agent_connected" for event in events.body["data"])

        for call in ids:
            wait_until(f"the agent of {call}", partial(connected, call), timeout_s=PATIENCE_S)

    def wait_invites(self, carrier: str, more: int, before: int | None = None) -> None:
        """So many more INVITEs have arrived at the carrier than ``before``; None: than when this was called."""
        before = self.invites(carrier) if before is None else before
        wait_until(
            f"{more} more INVITEs at {carrier}",
            lambda: self.invites(carrier) >= before + more,
            timeout_s=PATIENCE_S,
            every_s=0.01,
        )

    def invites(self, carrier: str) -> int:
        """INVITE transactions so far."""
        return sum(record["k"] == "invite" for record in read_log(self.stack.arrivals(carrier)))

    # --- both sides -----------------------------------------------------------------------------------------------

    def legs(self) -> dict[str, Leg]:
        """Every leg at every carrier of the stack."""
        return legs(*(self.stack.arrivals(carrier.name) for carrier in self.stack.lab_carriers))

    def legs_of(self, ids: Collection[str]) -> list[Leg]:
        """The legs under the attempts of these calls."""
        seen = self.legs()
        found = (seen.get(attempt["id"]) for call in ids for attempt in self.see(call)["attempts"])
        return [leg for leg in found if leg is not None]

    def leg(self, call: str) -> Leg | None:
        """The leg of a call that has one attempt."""
        (attempt,) = self.see(call)["attempts"]
        return self.legs().get(attempt["id"])

    def differences(self, ids: Collection[str], allowed: Allowed = Allowed()) -> list[str]:
        """As :func:`tests.system.truth.differences`, of these calls, which have all ended."""
        return differences([self.see(call) for call in ids], self.legs(), allowed)

    def wait_nothing_held(self) -> None:
        """No lease is left. Says which are."""
        with redis.Redis.from_url(self.stack.redis_url) as connection:

            def held() -> int:
                leases = sum(number(connection.zcard(key)) or 0 for key in connection.scan_iter(f"{PREFIX}held:*"))
                return leases + (number(connection.hlen(f"{PREFIX}held")) or 0)

            try:
                wait_until("every lease to be given back", lambda: held() == 0, timeout_s=PATIENCE_S, every_s=0.2)
            except TimeoutError:
                keys = list(connection.scan_iter(f"{PREFIX}held:*"))
                counted = connection.hgetall(f"{PREFIX}held")
                raise AssertionError({key: connection.zrange(key, 0, -1) for key in keys}, counted) from None


def redis_of(stack: Stack) -> RedisServer:
    """The stack's own Redis."""
    assert isinstance(stack.redis, RedisServer), "the test needs a server of its own"
    return stack.redis


def postgres_of(stack: Stack) -> PostgresServer:
    """The stack's own Postgres."""
    assert isinstance(stack.postgres, PostgresServer), "the test needs a server of its own"
    return stack.postgres


@contextlib.contextmanager
def noted(said: list[str], what: str) -> Iterator[None]:
    """Writes down when `what` was."""
    began = time.time_ns()
    try:
        yield
    finally:
        said.append(f"{what} {clock(began)}-{clock(time.time_ns())}")


def jobs_done(connection: redis.Redis, switch: str = "fs1") -> int:
    """Dial jobs that RQ's worker of this switch has run so far, by RQ's own count."""
    return number(connection.hget(f"rq:worker:dial-{switch}", "successful_job_count")) or 0
