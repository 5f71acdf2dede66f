"""/v1/operator: the platform as its operators run it, for operators' keys alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from store.changes import Change
from web import auth
from web.access import OPERATOR
from web.api import changes
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
def changing(remedy: str = ASK_AGAIN) -> Iterator[Change]:
    """A change of the platform and its line in the ledger. What the store refuses is told as by :func:`refusing`."""
    with refusing(), changes.changing(actor(), remedy) as change:
        yield change


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
