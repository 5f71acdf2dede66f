"""What an agent asks and hands in of the one call that it talks in, by the call token of its ``start`` (docs/runtime.md).

with CallRuntime("https://calls.example.com", call_id, token) as runtime:
    prompt = runtime.config().prompt
    ...
    runtime.hand_in(outcome="appointment_booked", summary="Tuesday at ten.")
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from urllib.parse import quote

from trunkline.client.models import Model, Result
from trunkline.client.transport import Transport


@dataclass(frozen=True, kw_only=True)
class RuntimeConfig(Model):
    """What the agent is to work with. ``variables``: the agent's own, the call's before them."""

    call: Mapping[str, Any]
    agent: Mapping[str, Any]
    prompt: str | None
    voice: Mapping[str, Any] | None
    tools: Sequence[Mapping[str, Any]]
    variables: Mapping[str, Any]
    settings: Mapping[str, Any]


class CallRuntime:
    """One attempt of one call, for its agent. ``base``: where Trunkline is, from your own configuration: an agent that asks
    whatever address it is told can be sent anywhere by whoever connects to it.
    """

    def __init__(self, base: str, call_id: str, token: str, *, timeout_s: float = 10.0, **transport: Any) -> None:
        self._transport = Transport(base, token, timeout_s=timeout_s, **transport)
        self._path = f"/internal/calls/{quote(call_id, safe='')}"

    def __enter__(self) -> CallRuntime:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def config(self) -> RuntimeConfig:
        """As the agent's resource and its call have it now."""
        return RuntimeConfig.of(self._transport.send("GET", f"{self._path}/runtime-config").body)

    def hand_in(
        self,
        *,
        outcome: str,
        summary: str | None = None,
        data: Mapping[str, Any] | None = None,
        transcript: Sequence[Mapping[str, Any]] | None = None,
        latencies: Sequence[Mapping[str, Any]] | None = None,
        tool_calls: Sequence[Mapping[str, Any]] | None = None,
        recording_parts: Sequence[Mapping[str, Any]] | None = None,
    ) -> Result:
        """What came of the attempt, once, however often the request has to be sent. Raises ``Conflict`` (``result_taken``)
        where something else was handed in before.
        """
        given = {
            "outcome": outcome,
            "summary": summary,
            "data": data,
            "transcript": transcript,
            "latencies": latencies,
            "tool_calls": tool_calls,
            "recording_parts": recording_parts,
        }
        body = {name: value for name, value in given.items() if value is not None}
        return Result.of(self._transport.send("POST", f"{self._path}/result", body=body, repeat=True).body)
