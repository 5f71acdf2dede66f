"""Calls as lines of JSON (NDJSON): all that fit, streamed page by page.

Between two pages no connection to Postgres is held, so a slow reader holds up nobody; and each page asks Postgres, where
others get their turn. What goes wrong on the way breaks the answer off without its last chunk, which every HTTP client
tells from an end.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from flask import Response, current_app, request

from store import call_list
from store.call_list import Filters, Page
from store.pool import Database
from store.snapshot import snapshot
from web.api.requests import PAGE_MOST
from web.auth import tenant
from web.problems import FieldError, invalid
from web.runtime import runtime

MEDIA_TYPE = "application/x-ndjson"
#: For the description of the operation.
LINES_CONTENT: dict[str, Any] = {
    MEDIA_TYPE: {"schema": {"type": "string", "description": "one call a line, as in `data` of a page"}}
}
_JSON = "application/json"


def wants_lines() -> bool:
    """The request asks for lines rather than for a page."""
    return request.accept_mimetypes.best_match([_JSON, MEDIA_TYPE]) == MEDIA_TYPE


def lines(filters: Filters, after: UUID | None) -> Response:
    """Every call that fits, from the newest or from behind ``after`` on. Refuses what belongs to pages."""
    faults = [
        FieldError(name, "not_with_lines", "belongs to pages; leave it out to get all as lines", "parameter")
        for name in ("limit", "ending_before")
        if name in request.args
    ]
    if faults:
        raise invalid(*faults)
    ours, mine = runtime(), tenant().id
    first = call_list.page(ours.database, mine, PAGE_MOST, filters, after=after)
    return current_app.response_class(_stream(ours.database, mine, filters, first), mimetype=MEDIA_TYPE)


def _stream(database: Database, tenant_id: UUID, filters: Filters, found: Page) -> Iterator[str]:
    while True:
        for shown in found.calls:
            yield json.dumps(snapshot(shown.call, shown.dial), sort_keys=True) + "\n"
        if found.cursor is None:
            return
        found = call_list.page(database, tenant_id, PAGE_MOST, filters, after=found.cursor)
