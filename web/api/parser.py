"""From a request to validated arguments; every refusal names its place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

import flask_smorest
from flask import Request
from marshmallow import RAISE, Schema, ValidationError
from webargs.flaskparser import FlaskParser

from web.api.fields import Fault
from web.jsonbody import pointer, read_json
from web.problems import FieldError, Place, invalid

_PLACES: dict[str, Place] = {"json": "pointer", "query": "parameter", "headers": "header"}


class StrictParser(FlaskParser):  # type: ignore[misc]  # webargs' own annotations stop at its edge
    """Strict JSON, no unknown field or query parameter, no parameter given twice."""

    DEFAULT_UNKNOWN_BY_LOCATION = {"json": RAISE, "query": RAISE}  # noqa: RUF012  # as webargs declares it

    def load_json(self, req: Request, schema: Schema) -> Any:
        return read_json(req)

    def load_querystring(self, req: Request, schema: Schema) -> Any:
        for name, values in req.args.lists():
            if len(values) > 1:
                raise invalid(FieldError(name, "given_twice", "give this parameter once", "parameter"))
        return req.args.to_dict()

    def handle_error(self, error: ValidationError, req: Request, schema: Schema, **_: Any) -> NoReturn:
        raise invalid(*_field_errors(error.messages_dict))


class Blueprint(flask_smorest.Blueprint):  # type: ignore[misc]
    """flask-smorest's blueprint on the strict parser."""

    ARGUMENTS_PARSER = StrictParser()


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
