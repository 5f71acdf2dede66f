"""/v1/operator: the platform as its operators run it, for operators' keys alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from flask import Response, g

from calls.destinations import TooManyEntries
from store.changes import Change
from store.pool import Database
from web import auth
from web.access import OPERATOR
from web.api import changes
from web.api import once as requests
from web.api.lists import Lists
from web.api.outcome import told_truly
from web.problems import FieldError, Problem, invalid

blueprint = Lists(
    "operator",
    __name__,
    url_prefix="/v1/operator",
    description="The platform as its operators run it. Only operators' keys (`tlo_...`) are taken here.",
)

NEEDS = OPERATOR
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
LOOK_FIRST = "Look (GET) whether it was done before you send it again."
ASK_AGAIN = "Ask again: asking twice changes nothing."


def actor() -> str:
    """Who asks, as the audit ledger has it."""
    return f"operator:{auth.operator().name}"


@contextmanager
def changing(remedy: str = ASK_AGAIN, database: Database | None = None) -> Iterator[Change]:
    """A change of the platform and its line in the ledger. What the store refuses is told as by :func:`refusing`.
    ``database``: as :func:`once` gives it.
    """
    with refusing(), changes.changing(actor(), remedy, database) as change:
        yield change


def once(work: Callable[[Database], Response], remedy: str = ASK_AGAIN) -> Response:
    """The answer of ``work``, once under an Idempotency-Key; as :func:`web.api.once.once`, with the operator's keys."""
    with told_truly(remedy):
        return requests.once(g.get("body"), work, auth.operator().name)


@contextmanager
def writing(remedy: str = ASK_AGAIN) -> Iterator[None]:
    """Around what makes its own transactions, and notes them in the ledger itself; tells as :func:`changing` does."""
    with refusing(), told_truly(remedy):
        yield


@contextmanager
def refusing() -> Iterator[None]:
    """What the store refuses (``ValueError``) is a 422 in its words."""
    try:
        yield
    except TooManyEntries as error:
        raise invalid(FieldError("/entries", "not_possible", str(error))) from error
    except ValueError as error:
        if type(error) is not ValueError:
            raise  # one that a caller knows by its type
        text = " ".join(str(error).split())
        raise invalid(FieldError("", "not_possible", text)) from error


def named(kind: str, text: str) -> str:
    """A name in a path; one that nothing can have is answered like one that nothing has: 404."""
    if _NAME.fullmatch(text) is None:
        raise missing(kind, text)
    return text


def missing(kind: str, name: str) -> Problem:
    """404: there is none of that name."""
    return Problem(404, "not_found", f"There is no {kind} {name[:80]!r}.")
