"""What the client raises. Decide by the class or by ``code``; every code is explained at /v1/docs/errors of the server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class TrunklineError(Exception):
    """Whatever this client raises of its own."""


class Unreachable(TrunklineError):
    """No answer, and it may not be tried again: the request could have been carried out. Look before you send it again."""


class DeadlineExceeded(TrunklineError):
    """The time that was given is over; the request may or may not have been carried out.

    With ``idempotency_key`` the same request can go on later, under the same key, without being carried out twice. ``last``
    is the refusal that was heard last, if any.
    """

    def __init__(self, text: str, *, idempotency_key: str | None = None, last: ApiError | None = None) -> None:
        super().__init__(text)
        self.idempotency_key = idempotency_key
        self.last = last


@dataclass(frozen=True, slots=True)
class FieldFault:
    """One field at fault: where (a JSON pointer, or the name of a parameter or header), why, and what would be right."""

    where: str
    code: str
    detail: str


class ApiError(TrunklineError):
    """The API said no. ``problem`` is all it said; ``code`` is empty where the answer was no problem of ours (a proxy's)."""

    def __init__(self, status: int, problem: Mapping[str, Any], headers: Mapping[str, str]) -> None:
        self.status = status
        self.problem = dict(problem)
        self.code = str(problem.get("code", ""))
        self.detail = str(problem.get("detail", ""))
        self.request_id = str(problem.get("request_id") or headers.get("x-request-id", ""))
        self.retry_after_s: float | None = _retry_after(headers)
        self.limit: Mapping[str, Any] | None = problem.get("limit")
        self.faults = [
            FieldFault(
                str(one.get("pointer", one.get("parameter", one.get("header", "")))),
                str(one.get("code", "")),
                str(one.get("detail", "")),
            )
            for one in problem.get("errors", ())
        ]
        fields = "".join(f"; {fault.where or 'the body'}: {fault.detail}" for fault in self.faults)
        super().__init__(f"{status} {self.code or 'no problem document'}: {self.detail}{fields} [{self.request_id}]")


class Unauthenticated(ApiError):
    """401: no API key, or one that is not valid."""


class Forbidden(ApiError):
    """403: the key may not do this."""


class NotFound(ApiError):
    """404: nothing of this account's."""


class Conflict(ApiError):
    """409: not in this state. By ``code``: ``name_taken``, ``not_queued``, ``not_recorded``, ..."""


class InvalidRequest(ApiError):
    """400, 413, 415, 422: the request is wrong; ``faults`` names the fields."""


class IdempotencyMismatch(InvalidRequest):
    """409, 422: the key was used for something else."""


class TooMany(ApiError):
    """429, and the deadline does not allow to wait: ``limit`` says which limit."""


class QueueFull(TooMany):
    """429: as many calls are queued as the account may have."""


class ServerFault(ApiError):
    """5xx."""


class OutcomeUnknown(ServerFault):
    """503: the request may or may not have been accepted."""


_BY_CODE: dict[str, type[ApiError]] = {
    "idempotency_mismatch": IdempotencyMismatch,
    "queue_full": QueueFull,
    "outcome_unknown": OutcomeUnknown,
}
_BY_STATUS: dict[int, type[ApiError]] = {
    400: InvalidRequest,
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: InvalidRequest,
    415: InvalidRequest,
    422: InvalidRequest,
    429: TooMany,
}


def api_error(status: int, problem: Mapping[str, Any], headers: Mapping[str, str]) -> ApiError:
    """The error of the class that fits. ``headers``: names in lower case."""
    kind = _BY_CODE.get(str(problem.get("code", ""))) or _BY_STATUS.get(status)
    if kind is None:
        kind = ServerFault if status >= 500 else ApiError
    return kind(status, problem, headers)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """s; None where it is not told, or as a date, which is of no use to a clock that may be wrong."""
    try:
        return max(0.0, float(headers.get("retry-after", "")))
    except ValueError:
        return None
