"""From a request to validated arguments; every refusal names its place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import flask_smorest
from flask import Request, g
from marshmallow import RAISE, Schema, ValidationError
from webargs.flaskparser import FlaskParser

from web.api.fields import Fault
from web.api.headers import RATE_HEADERS
from web.jsonbody import pointer, read_json
from web.problems import FieldError, Place, invalid

View = TypeVar("View", bound=Callable[..., Any])

_PLACES: dict[str, Place] = {"json": "pointer", "query": "parameter", "headers": "header"}


class StrictParser(FlaskParser):
    """Strict JSON, no unknown field or query parameter, no parameter given twice."""

    DEFAULT_UNKNOWN_BY_LOCATION = {"json": RAISE, "query": RAISE}

    def load_json(self, req: Request, *_: Any, **__: Any) -> Any:
        g.body = read_json(req)
        return g.body

    def load_querystring(self, req: Request, *_: Any, **__: Any) -> Any:
        for name, values in req.args.lists():
            if len(values) > 1:
                raise invalid(FieldError(name, "given_twice", "give this parameter once", "parameter"))
        return req.args.to_dict()

    def handle_error(self, error: ValidationError, *_: Any, **__: Any) -> NoReturn:
        raise invalid(*_field_errors(error.messages_dict))


class Blueprint(flask_smorest.Blueprint):  # type: ignore[misc]
    """flask-smorest's blueprint on the strict parser."""

    ARGUMENTS_PARSER = StrictParser()

    def response(self, status: int, schema: type[Schema], **options: Any) -> Callable[[View], View]:
        """As flask-smorest's, with the headers that every answer has."""
        headers = {**RATE_HEADERS, **options.pop("headers", {})}
        decorate: Callable[[View], View] = super().response(status, schema, headers=headers, **options)
        return decorate

    if TYPE_CHECKING:  # flask-smorest has no annotations; its decorators keep what they are put on

        def get(self, rule: str, **options: Any) -> Callable[[View], View]: ...
        def post(self, rule: str, **options: Any) -> Callable[[View], View]: ...
        def patch(self, rule: str, **options: Any) -> Callable[[View], View]: ...
        def delete(self, rule: str, **options: Any) -> Callable[[View], View]: ...
        def arguments(self, schema: type[Schema], **options: Any) -> Callable[[View], View]: ...
        def alt_response(self, status: int, **options: Any) -> Callable[[View], View]: ...
        def doc(self, **members: Any) -> Callable[[View], View]: ...


def _field_errors(by_location: Mapping[str, Any]) -> Iterator[FieldError]:
    for location, messages in by_location.items():
        place = _PLACES[location]
        for steps, message in _leaves((), messages):
            # marshmallow files what concerns the whole object under _schema.
            steps = tuple(step for step in steps if step != "_schema")
            where = pointer(*steps) if place == "pointer" else ".".join(str(step) for step in steps)
            code = message.code if isinstance(message, Fault) else "invalid"
            yield FieldError(where, code, str(message), place)


def _leaves(steps: tuple[str | int, ...], messages: Any) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    if isinstance(messages, dict):
        for step, below in messages.items():
            yield from _leaves((*steps, step), below)
    elif isinstance(messages, list):
        for message in messages:
            yield from _leaves(steps, message)
    else:
        yield steps, messages
