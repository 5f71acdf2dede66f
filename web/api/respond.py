"""What every view needs: JSON answers, pages, and the documented refusals of an operation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, TypeVar
from uuid import UUID

from flask import Response, current_app
from werkzeug.datastructures import Headers

from calls.ids import RefKind, parse_ref
from web.api.parser import Blueprint, View
from web.problems import not_found

Item = TypeVar("Item")

#: Ends the name of the described 503 of an operation that writes.
WRITE = "WRITE"


class Answer(Response):
    """A body that is there, headers that are complete and of ASCII: werkzeug would copy them all to see to that."""

    def get_wsgi_headers(self, environ: Any) -> Headers:  # noqa: ARG002 werkzeug's
        """As they are."""
        return self.headers


def answer(body: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """``body`` as JSON with names sorted, so that equal answers are equal bytes."""
    response = Answer(current_app.json.dumps(body, sort_keys=True), status=status, content_type="application/json")
    if headers:
        response.headers.update(headers)
    return response


def page(items: Sequence[Item], limit: int, show: Callable[[Item], dict[str, Any]]) -> Response:
    """A page of at most ``limit`` of ``items``, of which the caller fetched one more if there is one."""
    data = [show(item) for item in items[:limit]]
    more = len(items) > limit
    return answer({"data": data, "has_more": more, "next_cursor": data[-1]["id"] if more else None})


def path_id(kind: RefKind, text: str) -> UUID:
    """The id in a path; one that cannot exist is answered like one that does not: 404."""
    try:
        return parse_ref(kind, text)
    except ValueError:
        raise not_found(kind) from None


def refuses(blueprint: Blueprint, *statuses: int, writes: bool = False) -> Callable[[View], View]:
    """Documents the problems an operation answers with; 401, 429, 500 and 503 belong to all.

    ``writes``: its 503 has two meanings.
    """

    def decorate(view: View) -> View:
        for status in sorted({401, 429, 500, 503, *statuses}, reverse=True):
            name = HTTPStatus(status).name
            view = blueprint.alt_response(status, response=f"{name}_{WRITE}" if writes and status == 503 else name)(view)
        return view

    return decorate
