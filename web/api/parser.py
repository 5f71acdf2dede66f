"""From a request to validated arguments; every refusal names its place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import flask_smorest
from flask import Request, g
from marshmallow import RAISE, Schema, ValidationError
from webargs.flaskparser import FlaskParser

from web.access import Needed, declare, security
from web.api.fields import Fault
from web.api.headers import RATE_HEADERS
from web.jsonbody import pointer, read_json
from web.problems import FieldError, Place, invalid

View = TypeVar("View", bound=Callable[..., Any])

_PLACES: dict[str, Place] = {"json": "pointer", "query": "parameter", "headers": "header"}


@cache
def _schema(of: type[Schema]) -> Schema:
    return of()


class StrictParser(FlaskParser):
    """Strict JSON, no unknown field or query parameter, no parameter given twice."""

    DEFAULT_UNKNOWN_BY_LOCATION = {"json": RAISE, "query": RAISE}

    def _get_schema(self, argmap: Any, req: Request) -> Schema:
        """webargs makes one for each request; ours keep nothing, so one of each class will do."""
        return _schema(argmap) if isinstance(argmap, type) else super()._get_schema(argmap, req)

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
    """flask-smorest's blueprint on the strict parser. Each route names the scope that it needs: web.access asks for it."""

    ARGUMENTS_PARSER = StrictParser()

    def add_url_rule(
        self,
        rule: str,
        endpoint: str | None = None,
        view_func: Any = None,
        *args: Any,
        scope: Needed | None = None,
        **more: Any,
    ) -> None:
        """As flask-smorest's. Without ``scope`` the application is not made (web.access.require_declared)."""
        if scope is not None:
            view_func = self.alt_response(403, response="FORBIDDEN")(self.doc(security=security(scope))(view_func))
            declare(view_func, scope)
        super().add_url_rule(rule, endpoint, view_func, *args, **more)

    def response(self, status: int, schema: type[Schema], **options: Any) -> Callable[[View], View]:
        """As flask-smorest's, with the headers that every answer has."""
        headers = {**RATE_HEADERS, **options.pop("headers", {})}
        decorate: Callable[[View], View] = super().response(status, schema, headers=headers, **options)
        return decorate

    def alt_response(self, status: int, **options: Any) -> Callable[[View], View]:
        """As flask-smorest's, without its function around the view."""
        return _described(super().alt_response(status, **options))

    def doc(self, **members: Any) -> Callable[[View], View]:
        """As flask-smorest's, without its function around the view."""
        return _described(super().doc(**members))

    if TYPE_CHECKING:  # flask-smorest has no annotations; its decorators keep what they are put on

        def get(self, rule: str, *, scope: Needed, **options: Any) -> Callable[[View], View]: ...
        def post(self, rule: str, *, scope: Needed, **options: Any) -> Callable[[View], View]: ...
        def put(self, rule: str, *, scope: Needed, **options: Any) -> Callable[[View], View]: ...
        def patch(self, rule: str, *, scope: Needed, **options: Any) -> Callable[[View], View]: ...
        def delete(self, rule: str, *, scope: Needed, **options: Any) -> Callable[[View], View]: ...
        def arguments(self, schema: type[Schema], **options: Any) -> Callable[[View], View]: ...


def _described(decorate: Callable[[View], View]) -> Callable[[View], View]:
    """What flask-smorest's decorator writes down of a view, written on the view itself. The function that it puts around it
    only calls it, and a dozen of them stand around each.
    """

    def on(view: View) -> View:
        view._apidoc = decorate(view)._apidoc  # type: ignore[attr-defined]
        return view

    return on


def judged(schema: type[Schema], body: object) -> dict[str, Any]:
    """The body as a view has it that takes ``schema``. Raises :class:`web.problems.Problem`."""
    try:
        loaded: dict[str, Any] = _schema(schema).load(body, unknown=RAISE)  # type: ignore[arg-type]
    except ValidationError as error:
        raise invalid(*faults_of(error.messages)) from None
    return loaded


def _field_errors(by_location: Mapping[str, Any]) -> Iterator[FieldError]:
    for location, messages in by_location.items():
        place = _PLACES[location]
        yield from faults_of(messages, place)


def faults_of(messages: Any, place: Place = "pointer", below: tuple[str | int, ...] = ()) -> Iterator[FieldError]:
    """marshmallow's messages as faults; those of a body are told to lie ``below`` these steps of it."""
    for steps, message in leaves(below, messages):
        # marshmallow files what concerns the whole object under _schema.
        steps = tuple(step for step in steps if step != "_schema")
        where = pointer(*steps) if place == "pointer" else ".".join(str(step) for step in steps)
        code = message.code if isinstance(message, Fault) else "invalid"
        yield FieldError(where, code, str(message), place)


def leaves(steps: tuple[str | int, ...], messages: Any) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    if isinstance(messages, dict):
        for step, below in messages.items():
            yield from leaves((*steps, step), below)
    elif isinstance(messages, list):
        for message in messages:
            yield from leaves(steps, message)
    else:
        yield steps, messages
