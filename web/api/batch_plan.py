"""Each row of a batch, judged as a single call is: what it becomes, or what speaks against it, and where in the body."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any

from marshmallow import ValidationError

from calls.ids import call_ref
from store.backlog import QueueFull
from store.batches import Fitted
from store.calls import NewCall
from store.tenants import Tenant
from web.api.batch_body import BatchBody, below
from web.api.batch_requests import Loader
from web.api.lookups import Prefetched
from web.api.newcall import weigh
from web.api.parser import faults_of
from web.breath import breathing
from web.jsonbody import check_content
from web.problems import FieldError, Problem, invalid
from web.runtime import runtime

#: Rows judged in one go; about half a millisecond.
BREATH = 4


@dataclass(slots=True)
class Judged:
    """``rows``: of each its call, or the faults for which it is refused; ``references``: its client_reference, where it
    has one. ``calls``: those of the rows that may be accepted.
    """

    rows: list[NewCall | list[FieldError]] = field(default_factory=list)
    references: list[str | None] = field(default_factory=list)
    calls: list[NewCall] = field(default_factory=list)

    def refusal(self) -> Problem:
        """422: not one row may be accepted."""
        errors = [fault for row in self.rows if isinstance(row, list) for fault in row]
        return Problem(
            422, "invalid_request", f"Nothing was accepted: none of the {len(self.rows)} rows can be. Correct them.", errors
        )


@cache
def _loader() -> Loader:
    return Loader()


def judge(body: BatchBody, account: Tenant, now: datetime, breathe: Callable[[], None]) -> Judged:
    """Every row. Raises ``Problem`` 422 where the defaults are at fault, which no row can help."""
    ours = runtime()
    loader = _loader()
    try:
        defaults = loader.defaults(body.defaults)
    except ValidationError as error:
        raise invalid(*faults_of(error.messages, below=("defaults",))) from None
    loaded = list(_load(loader, body, defaults, breathe))
    lookups = Prefetched(ours.database, account.id, [args for args in loaded if isinstance(args, dict)], breathe)
    judged, first = Judged(), dict[str, int]()
    for index, args in enumerate(breathing(loaded, breathe, BREATH)):
        reference = _reference(body.rows[index])
        judged.references.append(reference)
        faults: list[FieldError] = []
        if reference is not None and first.setdefault(reference, index) != index:
            detail = f"the row {first[reference]} of this batch has it already; each must have its own"
            faults.append(FieldError(f"/calls/{index}/client_reference", "duplicate", detail))
        if isinstance(args, list):
            faults += args
        else:
            planned = weigh(args, account, ours.settings, lookups, now)
            faults += below(planned.faults, "calls", index)
            if lookups.agent(args["agent_id"]) is None:
                detail = "there is no such agent for this API key"
                faults.append(FieldError(f"/calls/{index}/agent_id", "unknown_agent", detail))
            if not faults:
                judged.calls.append(planned.new)
                judged.rows.append(planned.new)
                continue
        judged.rows.append(faults)
    return judged


def _load(
    loader: Loader, body: BatchBody, defaults: dict[str, Any], breathe: Callable[[], None]
) -> Iterator[dict[str, Any] | list[FieldError]]:
    for index, row in enumerate(breathing(body.rows, breathe, BREATH)):
        try:
            check_content(row)
            yield loader.row(row, defaults, body.defaults)
        except ValidationError as error:
            yield list(faults_of(error.messages, below=("calls", index)))
        except Problem as problem:
            yield below(problem.errors, "calls", index)


def _reference(row: Any) -> str | None:
    reference = row.get("client_reference") if isinstance(row, dict) else None
    return reference if isinstance(reference, str) else None


def render(head: dict[str, Any], judged: Judged, fitted: Fitted, breathe: Callable[[], None]) -> bytes:
    """The answer: ``head`` and what became of each row, of which the first ``fitted.count`` calls were accepted."""
    left = fitted.count
    parts: list[str] = []
    for index, row in enumerate(breathing(judged.rows, breathe, 4 * BREATH)):
        shown: dict[str, Any] = {
            "index": index,
            "status": "refused",
            "call_id": None,
            "client_reference": judged.references[index],
            "errors": [],
        }
        if isinstance(row, list):
            shown["errors"] = [fault.as_dict() for fault in row]
        elif left > 0:
            left -= 1
            shown |= {"status": "accepted", "call_id": call_ref(row.id)}
        else:
            assert fitted.full is not None
            shown["errors"] = [_no_room(index, fitted.full).as_dict()]
        parts.append(json.dumps(shown, sort_keys=True))
    whole = json.dumps({**head, "calls": []}, sort_keys=True)
    return whole.replace('"calls": []', f'"calls": [{", ".join(parts)}]', 1).encode()


def _no_room(index: int, full: QueueFull) -> FieldError:
    detail = f"your account may have {full.limit} calls queued; send this row in another batch after {full.retry_after_s} s"
    return FieldError(f"/calls/{index}", "queue_full", detail)
