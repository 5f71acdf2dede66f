"""What completes the description: examples, links, the headers of every answer. Worked out from what is described already,
so that a route added later has them without anybody thinking of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from web.codes import Code, codes, type_of
from web.openapi_examples import Examples
from web.openapi_links import add_links
from web.problems import MEDIA_TYPE

Document = dict[str, Any]

METHODS = ("get", "post", "put", "patch", "delete")
_REQUEST_ID = {"description": "the request's id; leads to the log", "schema": {"type": "string"}}
_RETRY_AFTER = {"description": "s; not before", "schema": {"type": "integer"}}
_CHALLENGE = {"description": "how to authenticate", "schema": {"type": "string"}}
_ID = re.compile(r"([a-z_]+_)[0-9a-f]{32}")
_PATH_WORDS = {"call_id": "the call", "action_id": "the action, or the Idempotency-Key it was asked under"}
#: By the name under which a refusal is described once for all operations.
_STATUS = {status.name: status.value for status in HTTPStatus if status >= 400}
_EXAMPLE_ID = "req_5c1d2f0e9a7b4c3d8e6f1a2b3c4d5e6f"


def complete(document: Document) -> Document:
    """``document`` with all of it; changed in place and returned."""
    examples = Examples(document)
    for name, response in document["components"].get("responses", {}).items():
        _complete_problem(name, response)
    for item in document["paths"].values():
        for parameter in item.get("parameters", []):
            _complete_parameter(parameter, examples)
    for path, _, operation in operations(document):
        for body in operation.get("requestBody", {}).get("content", {}).values():
            body.setdefault("example", examples.request(body["schema"]))
        for parameter in operation.get("parameters", []):
            _complete_parameter(parameter, examples)
        for status, response in operation["responses"].items():
            if "$ref" in response:
                continue
            response.setdefault("headers", {}).setdefault("X-Request-Id", _REQUEST_ID)
            for media_type, body in response.get("content", {}).items():
                if media_type == MEDIA_TYPE:
                    body.setdefault("examples", _problem_examples(int(status), path))
                elif "examples" not in body:
                    body.setdefault("example", examples.answer(body["schema"], status))
    add_links(document)
    return document


def operations(document: Document) -> Iterator[tuple[str, str, Document]]:
    """(path, method, operation) of all that are described."""
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield path, method, item[method]


def _complete_parameter(parameter: Document, examples: Examples) -> None:
    name, schema = parameter["name"], parameter.get("schema", {})
    if parameter["in"] == "path":
        parameter.setdefault("description", _PATH_WORDS.get(name, f"the {name.removesuffix('_id').replace('_', ' ')}"))
        parameter.setdefault("example", examples.path_id(name))
        found = _ID.fullmatch(parameter["example"])
        if found is not None:
            schema.setdefault("pattern", f"^{found[1]}[0-9a-f]{{32}}$")
    elif not {"example", "examples"} & (parameter.keys() | schema.keys()):
        parameter["example"] = examples.answer(schema)


def _complete_problem(name: str, response: Document) -> None:
    """Every code that an answer of this status may have, as an example; and the headers it has."""
    status = _STATUS.get(name.removesuffix("_WRITE"))
    if status is None:
        return
    headers = response.setdefault("headers", {})
    headers.setdefault("X-Request-Id", _REQUEST_ID)
    if status == 401:
        headers.setdefault("WWW-Authenticate", _CHALLENGE)
    if status in (429, 503):
        headers.setdefault("Retry-After", _RETRY_AFTER)
    for body in response.get("content", {}).values():
        shown = _problem_examples(status, "/v1/calls")
        if status == 503 and not name.endswith("_WRITE"):
            shown.pop("outcome_unknown", None)
        body.setdefault("examples", shown)


def _problem_examples(status: int, path: str) -> Document:
    return {
        code.code: {"summary": code.meaning, "value": _problem(code, status, path)}
        for code in codes().of_status(status)
        if code.public
    }


def _problem(code: Code, status: int, path: str) -> Document:
    problem: Document = {
        "type": type_of(code.code),
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": f"{code.meaning} {code.remedy}",
        "instance": path,
        "code": code.code,
        "request_id": _EXAMPLE_ID,
    }
    if code.code == "invalid_request":
        fault = "must be an integer from 5 to 120"
        problem["errors"] = [{"pointer": "/ring_timeout_s", "code": "out_of_range", "detail": fault}]
    if status == 429:
        problem |= {"retry_after_s": 12, "limit": {"scope": code.code, "name": "acme", "limit": 5000, "current": 5000}}
    if status == 503:
        problem["retry_after_s"] = 1
    return problem
