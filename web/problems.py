"""RFC 9457 problems: the one shape in which this API says no.

Every refusal carries ``type``, ``title``, ``status``, ``detail``, ``instance``, a stable ``code``, the ``request_id`` and,
where fields are at fault, ``errors``: one entry a fault with ``code``, ``detail`` and exactly one of ``pointer`` (RFC 6901,
into the body), ``parameter`` (query) or ``header``. The codes are a closed list, each explained once: web/codes.toml.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Literal

from flask import Flask, Response, current_app, g, has_request_context, request
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import HTTPException, InternalServerError

from web.codes import type_of

MEDIA_TYPE = "application/problem+json"
#: Headers of werkzeug's own refusals that must survive the change of shape.
_KEPT_HEADERS = ("Allow", "Retry-After", "Content-Range")

#: Of a body that does not say that it is JSON, or is packed.
NOT_JSON = "Send the body as JSON, uncompressed, and say so: 'Content-Type: application/json'."
#: Code and sentence of the refusals that come from the framework, by HTTP status.
_BY_STATUS: dict[int, tuple[str, str]] = {
    400: ("bad_request", "The request could not be read."),
    404: ("not_found", "There is nothing at this address. /v1/docs shows all there are; none ends with a slash."),
    405: ("method_not_allowed", "This address does not take that method; see the Allow header."),
    408: ("request_timeout", "The request did not arrive in time."),
    413: ("body_too_large", "The request body is too large."),
    414: ("uri_too_long", "The address is too long."),
    415: ("unsupported_media_type", NOT_JSON),
    416: ("range_not_satisfiable", "The file has no such part; ask for it without Range."),
    417: ("expectation_failed", "The Expect header asks for something other than 100-continue; leave it out."),
    431: ("headers_too_large", "There are too many headers, or one is too long."),
    501: ("not_implemented", "The request uses a transfer coding that is not known here."),
}
_REFUSED = ("request_refused", "The server refused this request; see the status.")

#: Of a call whose agent there is not, or which is another account's.
NO_SUCH_AGENT = "there is no such agent for this API key; GET /v1/agents lists yours"

Place = Literal["pointer", "parameter", "header"]


@dataclass(frozen=True, slots=True)
class FieldError:
    """One fault of one field: where it is, a stable code, and what would be right."""

    where: str
    code: str
    detail: str
    place: Place = "pointer"

    def as_dict(self) -> dict[str, str]:
        return {self.place: self.where, "code": self.code, "detail": self.detail}


@dataclass(eq=False)
class Problem(Exception):
    """Raised anywhere below a view; becomes the answer. ``extra`` adds members beside the standard ones."""

    status: int
    code: str
    detail: str
    errors: Sequence[FieldError] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.status} {self.code}: {self.detail}"


def invalid(*errors: FieldError) -> Problem:
    """422: the request was understood, but these fields are wrong."""
    names = ", ".join(dict.fromkeys(error.where or "the body" for error in errors))
    return Problem(422, "invalid_request", f"Nothing was accepted. Correct: {names}.", errors)


def too_many(scope: str, detail: str, *, name: str, limit: int, current: int, retry_after_s: int) -> Problem:
    """429: a limit of ``name`` is reached; ``scope``, which is also the code, says which one. Nothing was done."""
    return Problem(
        429,
        scope,
        f"{detail} Nothing was done; send it again after {retry_after_s} s.",
        headers={"Retry-After": str(retry_after_s)},
        extra={"limit": {"scope": scope, "name": name, "limit": limit, "current": current}},
    )


def not_found(kind: str) -> Problem:
    """404, in the same words whether the thing does not exist or belongs to another tenant."""
    return Problem(404, "not_found", f"There is no such {kind} for this API key.")


def problem_body(problem: Problem) -> dict[str, Any]:
    """The members that do not depend on the request."""
    body: dict[str, Any] = {
        "type": type_of(problem.code),
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
        "code": problem.code,
        **problem.extra,
    }
    if problem.errors:
        body["errors"] = [error.as_dict() for error in problem.errors]
    retry_after = problem.headers.get("Retry-After")
    if retry_after is not None:
        body["retry_after_s"] = int(retry_after)
    return body


def problem_response(problem: Problem) -> Response:
    """The answer that ``problem`` stands for."""
    body = problem_body(problem)
    if has_request_context():
        body["instance"] = request.path
        body["request_id"] = g.request_id
    response = current_app.response_class(current_app.json.dumps(body), status=problem.status, mimetype=MEDIA_TYPE)
    response.headers.update(problem.headers)
    return response


def from_http_exception(error: HTTPException) -> Problem:
    """werkzeug's refusal in our shape; its own text may quote the request, so ours is used."""
    status = error.code or 500
    headers = {name: value for name, value in error.get_headers() if name in _KEPT_HEADERS}
    problem = by_status(status, headers)
    if status == 405 and "Allow" in headers:
        problem.detail = f"This address does not take that method, only {', '.join(sorted(headers['Allow'].split(', ')))}."
    return problem


def by_status(status: int, headers: Mapping[str, str] | None = None) -> Problem:
    """What is said where only a status is known: by the framework, or by the server before the application is asked."""
    if status >= 500 and status not in _BY_STATUS:
        return internal()
    code, detail = _BY_STATUS.get(status, _REFUSED)
    return Problem(status, code, detail, headers=headers or {})


def internal() -> Problem:
    """500: our fault; the request id leads to the log line with the reason."""
    return Problem(500, "internal_error", "Something failed here. It is logged under this request_id.")


def outcome_unknown(remedy: str) -> Problem:
    """503: the connection was lost while the database was asked to keep the change, so nobody knows whether it did."""
    return Problem(
        503,
        "outcome_unknown",
        f"The database went away in the middle of this request: it may or may not have been accepted. {remedy}",
        headers={"Retry-After": "1"},
    )


def unavailable(part: str) -> Problem:
    """503: a part we cannot do without is away; nothing was accepted. Where a write may have been: outcome_unknown."""
    return Problem(
        503,
        f"{part}_unavailable",
        "A part this request needs is away for the moment. Nothing was accepted; try again.",
        headers={"Retry-After": "1"},
    )


def register(app: Flask, unavailable_errors: tuple[type[Exception], ...]) -> None:
    """Make every failure of ``app`` a problem. ``unavailable_errors``: what the store raises when Postgres is away."""

    def on_problem(error: Problem) -> Response:
        return problem_response(error)

    def on_http(error: HTTPException) -> Response:
        if isinstance(error, InternalServerError) and error.original_exception is not None:
            app.logger.error("unhandled error", exc_info=error.original_exception)
        return problem_response(from_http_exception(error))

    def on_broken_body(_: ParseException) -> Response:
        # The body is read while the request is being worked on: that its chunks are none shows only then.
        return problem_response(by_status(400))

    def on_unavailable(error: Exception) -> Response:
        app.logger.warning("postgres is away: %s", type(error).__name__)
        return problem_response(unavailable("database"))

    def on_other(error: Exception) -> Response:
        app.logger.error("unhandled error", exc_info=error)
        return problem_response(internal())

    app.register_error_handler(Problem, on_problem)
    app.register_error_handler(HTTPException, on_http)
    app.register_error_handler(ParseException, on_broken_body)
    for kind in unavailable_errors:
        app.register_error_handler(kind, on_unavailable)
    app.register_error_handler(Exception, on_other)
