"""Each row of a batch, judged as a single call is: what it becomes, or what speaks against it, and where in the body."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from itertools import islice
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
from web.api.parser import faults_of, leaves
from web.breath import breathing
from web.jsonbody import check_content
from web.problems import NO_SUCH_AGENT, FieldError, Problem, invalid
from web.runtime import runtime

#: Rows judged in one go; about half a millisecond.
BREATH = 4
#: Characters; so large a row is judged alone.
LARGE = 4096
#: Faults that are told of a row; and of a batch before of each further row only the first is told.
FAULTS_OF_ROW, FAULTS = 10, 500


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
        refused = [row for row in self.rows if isinstance(row, list)]
        faults = (fault for row in refused for fault in row)
        errors = few(faults, sum(map(len, refused)), "/calls", FAULTS, "of this batch")
        return Problem(
            422, "invalid_request", f"Nothing was accepted: none of the {len(self.rows)} rows can be. Correct them.", errors
        )


def few(faults: Iterable[FieldError], total: int, where: str, most: int, whose: str) -> list[FieldError]:
    """The first ``most`` of them, and how many more of ``total``: an answer is never many times what was asked."""
    told = list(islice(faults, most))
    more = total - len(told)
    if more:
        told.append(FieldError(where, "more_faults", f"and {more} more {whose}, not told one by one; correct these first"))
    return told


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
        wrong = faults_of(error.messages, below=("defaults",))
        raise invalid(*few(wrong, _count(error), "/defaults", FAULTS_OF_ROW, "of the defaults")) from None
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
                detail = NO_SUCH_AGENT
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
    told = 0
    for index, row in enumerate(breathing(body.rows, breathe, BREATH)):
        try:
            if body.sizes[index] > LARGE:
                breathe()
            check_content(row)
            yield loader.row(row, defaults, body.defaults)
        except ValidationError as error:
            wrong = faults_of(error.messages, below=("calls", index))
            faults = few(wrong, _count(error), f"/calls/{index}", FAULTS_OF_ROW if told < FAULTS else 1, "of this row")
            told += len(faults)
            yield faults
        except Problem as problem:
            yield below(problem.errors, "calls", index)


def _count(error: ValidationError) -> int:
    return sum(1 for _ in leaves((), error.messages))


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
