"""The API's description: OpenAPI 3.1 at /v1/openapi.json and Swagger UI at /v1/docs, every byte from this machine."""

from __future__ import annotations

from http import HTTPStatus
from importlib.resources import files
from pathlib import Path
from typing import Any

import flask_smorest
from flask import Blueprint, Flask, Response, current_app, render_template_string, send_from_directory, url_for
from flask_smorest.utils import prepare_response
from werkzeug.exceptions import NotFound

from web import errorpage
from web.api.headers import RATE_HEADERS, RETRY_HEADER
from web.api.parser import Blueprint as Room
from web.api.problem_answers import ProblemAnswer
from web.api.respond import WRITE
from web.openapi import complete
from web.problems import MEDIA_TYPE

_DIST = Path(str(files("flask_swagger_ui"))) / "dist"
_OWN = Path(__file__).parent / "static"
_FILES = {
    "swagger-ui.css": _DIST,
    "swagger-ui-bundle.js": _DIST,
    "favicon-32x32.png": _DIST,
    "docs.js": _OWN,
}
#: The browser itself refuses what is not ours; Swagger UI needs inline styles and images from data: addresses.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Trunkline API</title>
<link rel="icon" href="{{ asset('favicon-32x32.png') }}">
<link rel="stylesheet" href="{{ asset('swagger-ui.css') }}">
</head>
<body>
<div id="swagger-ui" data-spec="{{ spec }}"></div>
<script src="{{ asset('swagger-ui-bundle.js') }}"></script>
<script src="{{ asset('docs.js') }}"></script>
</body>
</html>
"""
_DESCRIPTION = """Places telephone calls by program and reports how each one went.

Every request needs an API key: `Authorization: Bearer tl_...`. Times are RFC 3339 in UTC, numbers E.164, lengths of time
in seconds. The headers `RateLimit-Limit`, `-Remaining` and `-Reset` tell how many requests you may send. What goes wrong
comes as `application/problem+json` (RFC 9457) with a stable `code`, the fields at fault in `errors` and a `request_id`;
[every code](/v1/docs/errors) has its remedy. Any operation may also answer 500 `internal_error`, and an address 404 or 405.
Answers may gain members: ignore what you do not know. The form of answers does not depend on `Accept`."""

_SCHEMES = {
    "api_key": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "tl_",
        "description": "A tenant's API key. Each operation names the scope that the key needs. May be bound to networks.",
    },
    "operator_key": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "tlo_",
        "description": "A key of those who run the platform: for /v1/operator alone, where no tenant's key is taken.",
    },
}

_FORBIDDEN = (
    "Forbidden. The code says why: `missing_scope`, the key is good but not for this (the scope it lacks is in `scope`),"
    " `ip_not_allowed`, the key may not be used from there, or `not_with_a_test_key`, this takes a live key."
)
_TOO_MANY = (
    "Too Many Requests. Nothing was done. The code and `limit.scope` say which limit is reached: `request_rate`, the"
    " requests of your account, or `queue_full`, the calls that it has queued."
)
_UNSURE = (
    "Service Unavailable. With the code `database_unavailable` nothing was accepted. With the code `outcome_unknown` the"
    " database went away in the middle: the request may or may not have been accepted. `detail` says what to do. Where the"
    " operation takes an `Idempotency-Key`, it is safe to send it again with the same one; otherwise look first."
)


class Api(flask_smorest.Api):  # type: ignore[misc]
    """flask-smorest with our problems in place of its errors, documented only where they occur.

    A room is described when somebody reads the description, not when the application is made: it costs more than all else
    of its start together.
    """

    DEFAULT_ERROR_RESPONSE_NAME = None
    ERROR_SCHEMA = ProblemAnswer
    _document: str | None = None

    def _openapi_json(self) -> Response:
        """The whole description, put together at the first request: routes do not change after start."""
        if self._document is None:
            self._document = current_app.json.dumps(complete(self.spec.to_dict()), indent=2, sort_keys=False)
        return current_app.response_class(self._document, mimetype="application/json")

    _left: list[Room]

    @property
    def spec(self) -> Any:
        """The description of every room that was registered."""
        left, self._left = self._left, []
        for blueprint in left:
            blueprint.register_views_in_doc(self, self._app, self._spec, name=blueprint.name, parameters=None)
            self._spec.tag({"name": blueprint.name, "description": blueprint.description})
        return self._spec

    @spec.setter
    def spec(self, spec: Any) -> None:
        self._spec, self._left = spec, []

    def register_blueprint(self, blueprint: Room) -> None:
        """Serve the room's routes."""
        self._app.extensions["flask-smorest"]["blp_name_to_api"][blueprint.name] = self
        self._app.register_blueprint(blueprint)
        self._left.append(blueprint)

    def _register_error_handlers(self) -> None:
        """None: web.problems handles every failure of the app."""

    def _register_responses(self) -> None:
        for status in HTTPStatus:
            if status >= 400:
                response: dict[str, Any] = {"description": status.phrase, "schema": self.ERROR_SCHEMA}
                if status == HTTPStatus.FORBIDDEN:
                    response["description"] = _FORBIDDEN
                if status == HTTPStatus.TOO_MANY_REQUESTS:
                    response |= {"description": _TOO_MANY, "headers": {**RETRY_HEADER, **RATE_HEADERS}}
                prepare_response(response, self.spec, MEDIA_TYPE)
                self.spec.components.response(status.name, response, lazy=True)
        unsure: dict[str, Any] = {"description": _UNSURE, "schema": self.ERROR_SCHEMA}
        prepare_response(unsure, self.spec, MEDIA_TYPE)
        self.spec.components.response(f"{HTTPStatus.SERVICE_UNAVAILABLE.name}_{WRITE}", unsure, lazy=True)


def configure(app: Flask) -> Api:
    """Serve the description and the page; returns the Api to register blueprints with."""
    app.config.update(
        API_TITLE="Trunkline",
        API_VERSION="v1",
        OPENAPI_VERSION="3.1.0",
        OPENAPI_URL_PREFIX="/v1",
        OPENAPI_JSON_PATH="openapi.json",
        API_SPEC_OPTIONS={
            "info": {"description": _DESCRIPTION, "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
            "servers": [{"url": "/"}],
            "components": {"securitySchemes": _SCHEMES},
            "security": [{"api_key": []}],
        },
    )
    api = Api(app)
    page = Blueprint("docs", __name__, url_prefix="/v1/docs")
    page.add_url_rule("", view_func=_page, endpoint="page")
    page.add_url_rule("/errors", view_func=errorpage.errors, endpoint="errors")
    page.add_url_rule("/<string:name>", view_func=_asset, endpoint="asset")
    app.register_blueprint(page)
    return api


def _page() -> Response:
    html = render_template_string(
        _PAGE, spec=url_for("api-docs.openapi_json"), asset=lambda name: url_for("docs.asset", name=name)
    )
    return Response(html, mimetype="text/html", headers={"Content-Security-Policy": _POLICY})


def _asset(name: str) -> Response:
    directory = _FILES.get(name)
    if directory is None:
        raise NotFound
    return send_from_directory(directory, name, max_age=86_400)
