"""What is said when Postgres goes away in the middle of a write: that nothing was accepted only where that is certain."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from flask import g

from store.failures import may_be_committed
from web.problems import outcome_unknown

log = logging.getLogger("trunkline.web")


@contextmanager
def told_truly(remedy: str, *, accepted: bool = False) -> Iterator[None]:
    """Around a write: a connection lost under it becomes the problem ``outcome_unknown``, whose detail ends with ``remedy``.

    Other failures of Postgres pass: for them "nothing was accepted" is true. ``accepted``: around what follows a write
    that was committed, so that no failure at all may be told in those words.
    """
    try:
        yield
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        if not accepted and not may_be_committed(error):
            raise
        log.warning("Postgres went away under a write", extra={"request_id": g.request_id, "error": type(error).__name__})
        raise outcome_unknown(remedy) from error
