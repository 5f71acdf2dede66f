"""The client: what the API can do, as methods."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import quote
from uuid import uuid4

from trunkline.client.errors import DeadlineExceeded
from trunkline.client.models import (
    Action,
    Agent,
    Attempt,
    Batch,
    Call,
    Event,
    Limit,
    Model,
    Place,
    PlacedBatch,
    Record,
    Recording,
    Result,
)
from trunkline.client.transport import Answer, Transport

M = TypeVar("M", bound=Model)

#: s; how often an end is looked for: from the first to the second, slower each time.
POLL_FIRST_S, POLL_MOST_S = 0.25, 5.0
_GROWTH = 1.5


class Client:
    """The API of one Trunkline, for one API key. Thread-safe; one for the whole program keeps its connections.

    Every call takes at most ``timeout_s`` in all, its repetitions included. Raises what ``trunkline.client.errors`` has.
    """

    def __init__(self, base: str, key: str, *, timeout_s: float = 30.0, **transport: Any) -> None:
        self._transport = Transport(base, key, timeout_s=timeout_s, **transport)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def request(self, method: str, path: str, **more: Any) -> Answer:
        """Anything the methods below have no name for: ``query``, ``body``, ``idempotency_key``, ``timeout_s``."""
        return self._transport.send(method, path, **more)

    # Calls

    def place_call(
        self,
        *,
        to: str,
        from_: str,
        agent_id: str,
        agent_variables: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        client_reference: str | None = None,
        priority: str | None = None,
        not_before: datetime | None = None,
        expires_at: datetime | None = None,
        ring_timeout_s: int | None = None,
        max_duration_s: int | None = None,
        max_attempts: int | None = None,
        retry: Mapping[str, Any] | None = None,
        window: Mapping[str, Any] | None = None,
        recipient: Mapping[str, Any] | None = None,
        consent: Mapping[str, Any] | None = None,
        recording: Mapping[str, Any] | None = None,
        webhook: Mapping[str, Any] | None = None,
        webhook_url: str | None = None,
        more: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        timeout_s: float | None = None,
    ) -> Call:
        """Place one call, once, however often the request has to be sent.

        ``idempotency_key``: one of yours (an order's id) makes it once across restarts of your program as well; else one is
        made. ``more``: fields of the API that are not named here.
        """
        given = {
            "to": to,
            "from": from_,
            "agent_id": agent_id,
            "agent_variables": agent_variables,
            "metadata": metadata,
            "client_reference": client_reference,
            "priority": priority,
            "not_before": _stamp(not_before),
            "expires_at": _stamp(expires_at),
            "ring_timeout_s": ring_timeout_s,
            "max_duration_s": max_duration_s,
            "max_attempts": max_attempts,
            "retry": retry,
            "window": window,
            "recipient": recipient,
            "consent": consent,
            "recording": recording,
            "webhook": webhook,
            "webhook_url": webhook_url,
            **(more or {}),
        }
        body = {name: value for name, value in given.items() if value is not None}
        key = idempotency_key or str(uuid4())
        answer = self.request("POST", "/v1/calls", body=body, idempotency_key=key, timeout_s=timeout_s)
        return Call.of(answer.body)

    def dry_run(self, call: Mapping[str, Any]) -> Mapping[str, Any]:
        """What would happen to a call, and why; nothing is kept. ``call``: as the API has it (``from``, not ``from_``)."""
        told: Mapping[str, Any] = self.request("POST", "/v1/calls", query={"dry_run": "true"}, body=call, repeat=True).body
        return told

    def place_batch(
        self,
        calls: Sequence[Mapping[str, Any]],
        *,
        defaults: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        timeout_s: float | None = None,
    ) -> PlacedBatch:
        """Place many calls, once, however often the request has to be sent. ``calls`` and ``defaults``: as the API has them
        (``from``, not ``from_``). A row that is refused keeps no other back: look at each of the result's ``calls``.
        """
        body = {"calls": list(calls), **({} if defaults is None else {"defaults": defaults})}
        key = idempotency_key or str(uuid4())
        return PlacedBatch.of(self.request("POST", "/v1/batches", body=body, idempotency_key=key, timeout_s=timeout_s).body)

    def get_batch(self, batch_id: str) -> Batch:
        """A batch and where its calls are. The calls themselves: ``calls(batch_id=...)``."""
        return Batch.of(self.request("GET", f"/v1/batches/{_part(batch_id)}").body)

    def cancel_batch(self, batch_id: str) -> Batch:
        """Cancel what of a batch is not dialed yet. Asking again changes nothing."""
        return Batch.of(self.request("POST", f"/v1/batches/{_part(batch_id)}/cancel", repeat=True).body)

    def get_call(self, call_id: str) -> Call:
        """A call as it is now."""
        return Call.of(self.request("GET", f"/v1/calls/{_part(call_id)}").body)

    def calls(self, *, page_size: int = 200, **filters: str) -> Iterator[Call]:
        """All calls, newest first, fetched page by page; ``filters`` such as ``status="queued"``.

        With ``ending_before`` those newer than that call, the nearest page first.
        """
        return self._pages("/v1/calls", Call, page_size, filters)

    def events(self, call_id: str) -> list[Event]:
        """Everything known of a call, in the order it was recorded."""
        return self._listed(f"/v1/calls/{_part(call_id)}/events", Event)

    def attempts(self, call_id: str) -> list[Attempt]:
        """Every dial of a call."""
        return self._listed(f"/v1/calls/{_part(call_id)}/attempts", Attempt)

    def actions(self, call_id: str) -> list[Action]:
        """What was asked of a call."""
        return self._listed(f"/v1/calls/{_part(call_id)}/actions", Action)

    def recordings(self, call_id: str) -> list[Recording]:
        """A call's recordings."""
        return self._listed(f"/v1/calls/{_part(call_id)}/recordings", Recording)

    def record(self, call_id: str) -> Record:
        """A call with all that belongs to it: dials, events in short, recordings, and what its agents handed in."""
        return Record.of(self.request("GET", f"/v1/calls/{_part(call_id)}/record").body)

    def results(self, call_id: str) -> list[Result]:
        """What the agents of a call handed in."""
        return self._listed(f"/v1/calls/{_part(call_id)}/results", Result)

    def erase_results(self, call_id: str) -> list[Result]:
        """Erase what was said of it; what is left of each."""
        told = self.request("DELETE", f"/v1/calls/{_part(call_id)}/results").body["data"]
        return [Result.of(one) for one in told]

    def queue(self, call_id: str) -> Place:
        """Where a queued call stands. Raises ``Conflict`` (``not_queued``) once it is dialed."""
        return Place.of(self.request("GET", f"/v1/calls/{_part(call_id)}/queue").body)

    def hang_up(self, call_id: str, *, idempotency_key: str | None = None) -> Call:
        """Hang up, or cancel what is queued; the call as it is then. Asking again changes nothing."""
        return Call.of(self._act(call_id, "hangup", None, idempotency_key))

    def act(
        self, call_id: str, action: str, body: Mapping[str, Any] | None = None, *, idempotency_key: str | None = None
    ) -> Call | Action:
        """Any action of a call, once. ``dtmf``, ``play`` and ``transfer`` give the action, the others the call."""
        told = self._act(call_id, action, body, idempotency_key)
        return Action.of(told) if "type" in told else Call.of(told)

    def _act(self, call_id: str, action: str, body: Mapping[str, Any] | None, key: str | None) -> Mapping[str, Any]:
        path = f"/v1/calls/{_part(call_id)}/actions/{_part(action)}"
        told: Mapping[str, Any] = self.request("POST", path, body=body, idempotency_key=key or str(uuid4())).body
        return told

    def hold(self, call_id: str, *, audio: str | None = None, idempotency_key: str | None = None) -> Action:
        """Put a call on hold: the callee hears ``audio`` (a file of the announcement directory) over and over, or silence.
        Raises ``Conflict`` (``on_hold``, ``not_in_progress``, ``not_a_conversation``).
        """
        return self._ask(call_id, "hold", {} if audio is None else {"audio": audio}, idempotency_key)

    def resume(self, call_id: str, *, idempotency_key: str | None = None) -> Action:
        """Take a call off hold. Raises ``Conflict`` (``not_on_hold``, ...)."""
        return self._ask(call_id, "resume", None, idempotency_key)

    def _ask(self, call_id: str, action: str, body: Mapping[str, Any] | None, key: str | None) -> Action:
        path = f"/v1/calls/{_part(call_id)}/actions/{action}"
        return Action.of(self.request("POST", path, body=body, idempotency_key=key or str(uuid4())).body)

    def wait_for_end(self, call_id: str, *, timeout_s: float = 600.0) -> Call:
        """The call once its status is final. Raises ``DeadlineExceeded`` when it is not after ``timeout_s``.

        It asks, less and less often. A program with many calls hears of their ends by webhook instead.
        """
        until, pause_s = time.monotonic() + timeout_s, POLL_FIRST_S
        while True:
            call = self.get_call(call_id)
            if call.ended:
                return call
            left_s = until - time.monotonic()
            if left_s <= 0:
                raise DeadlineExceeded(f"{call_id} is still {call.status} after {timeout_s:g} s")
            time.sleep(min(pause_s, left_s))
            pause_s = min(POLL_MOST_S, pause_s * _GROWTH)

    # Agents, limits, recordings

    def create_agent(self, *, name: str, kind: str, idempotency_key: str | None = None, **more: Any) -> Agent:
        """A new agent, once, however often the request has to be sent."""
        key, body = idempotency_key or str(uuid4()), {"name": name, "kind": kind, **more}
        return Agent.of(self.request("POST", "/v1/agents", body=body, idempotency_key=key).body)

    def get_agent(self, agent_id: str) -> Agent:
        """An agent."""
        return Agent.of(self.request("GET", f"/v1/agents/{_part(agent_id)}").body)

    def agents(self, *, page_size: int = 200) -> Iterator[Agent]:
        """All agents, newest first."""
        return self._pages("/v1/agents", Agent, page_size, {})

    def limits(self) -> list[Limit]:
        """What the account may do, and how much of it is in use."""
        return self._listed("/v1/limits", Limit)

    def get_recording(self, recording_id: str) -> Recording:
        """A recording, with an address where it is to be had."""
        return Recording.of(self.request("GET", f"/v1/recordings/{_part(recording_id)}").body)

    def delete_recording(self, recording_id: str) -> Recording:
        """Remove a recording."""
        return Recording.of(self.request("DELETE", f"/v1/recordings/{_part(recording_id)}").body)

    def _listed(self, path: str, kind: type[M]) -> list[M]:
        return [kind.of(one) for one in self.request("GET", path).body["data"]]

    def _pages(self, path: str, kind: type[M], page_size: int, filters: Mapping[str, str]) -> Iterator[M]:
        query: dict[str, Any] = {**filters, "limit": page_size}
        towards = "ending_before" if "ending_before" in filters else "starting_after"
        while True:
            page = self.request("GET", path, query=query).body
            found: Sequence[Mapping[str, Any]] = page["data"]
            yield from (kind.of(one) for one in found)
            if not page["has_more"]:
                return
            query[towards] = page["next_cursor"]


def _part(text: str) -> str:
    """One part of a path, whatever is in it."""
    return quote(text, safe="")


def _stamp(moment: datetime | None) -> str | None:
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise ValueError("a moment needs a time zone: datetime.now(UTC), not datetime.now()")
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
