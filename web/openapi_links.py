"""Links: from what an answer holds to the operations that take it. Found by the addresses, not written down one by one.

The operation GET .../{thing_id} tells which schema a thing has. Whoever answers with that schema, or a list of it, leads to
every operation that has {thing_id} in its address, or whose body has to name a thing_id; whoever has {thing_id} in its own
address leads to the others, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

Document = dict[str, Any]

_PARAMETER = re.compile(r"{(\w+)}")
_METHODS = ("get", "post", "put", "patch", "delete")
#: What is answered where a thing was made: the thing, and more of it.
MADE = {"PlacedCallAnswer": "CallAnswer"}


def add_links(document: Document) -> None:
    """Put ``links`` into every answer of success."""
    targets = [(path, operation) for path, operation in _operations(document) if "operationId" in operation]
    things = _things(document)
    for path, operation in targets:
        for status, response in operation["responses"].items():
            if not status.startswith("2") or "$ref" in response:
                continue
            links = dict(_links(document, things, targets, path, operation, response))
            if links:
                response.setdefault("links", {}).update(links)


def _operations(document: Document) -> Iterator[tuple[str, Document]]:
    for path, item in document["paths"].items():
        yield from ((path, item[method]) for method in _METHODS if method in item)


def _things(document: Document) -> dict[str, tuple[str, str]]:
    """Name of a schema -> the parameter that tells one from the other, and the member that it stands in."""
    found: dict[str, tuple[str, str]] = {}
    for path, item in document["paths"].items():
        match = re.fullmatch(r".*/{(\w+)}", path)
        if match is not None and "get" in item:
            schema = _schema(item["get"]["responses"].get("200", {}))
            if schema is not None:
                members = document["components"]["schemas"][schema].get("properties", {})
                name = next((one for one in (match[1], "name") if one in members), "id")
                found.setdefault(schema, (match[1], "id" if match[1].endswith("_id") else name))
    return found


def _schema(response: Document) -> str | None:
    body = response.get("content", {}).get("application/json", {}).get("schema", {})
    reference = body.get("$ref")
    return reference.rpartition("/")[2] if reference is not None else None


def _links(
    document: Document,
    things: dict[str, tuple[str, str]],
    targets: list[tuple[str, Document]],
    path: str,
    operation: Document,
    response: Document,
) -> Iterator[tuple[str, Document]]:
    known = {name: f"$request.path.{name}" for name in _PARAMETER.findall(path)}
    schema = _schema(response)
    schema = MADE.get(schema or "", schema)
    listed = schema is not None and _listed(document, schema)
    if schema in things:
        parameter, member = things[schema]
        known[parameter] = f"$response.body#/{member}"
    elif listed and listed in things:
        parameter, member = things[listed]
        known[parameter] = f"$response.body#/data/0/{member}"
    for there, target in targets:
        needed = _PARAMETER.findall(there)
        body = _named_in_body(document, target, known)
        if not set(needed) <= known.keys() or not (needed or body) or _keys(document, target) != _keys(document, operation):
            continue
        if target is operation and schema not in things:
            continue
        link: Document = {"operationId": target["operationId"], "description": target.get("summary", "")}
        if needed:
            link["parameters"] = {name: known[name] for name in needed}
        if body:
            link["requestBody"] = body
        yield target["operationId"], link
    if any(parameter["name"] == "starting_after" for parameter in operation.get("parameters", [])):
        here = {name: known[name] for name in _PARAMETER.findall(path)}
        yield (
            "nextPage",
            {
                "operationId": operation["operationId"],
                "description": "The next page, where next_cursor is not null",
                "parameters": {**here, "starting_after": "$response.body#/next_cursor"},
            },
        )


def _keys(document: Document, operation: Document) -> set[str]:
    """The kinds of key that open the operation: who has one of them can go along the link."""
    ways: list[Document] = operation.get("security") or document.get("security") or []
    return {kind for way in ways for kind in way}


def _named_in_body(document: Document, target: Document, known: dict[str, str]) -> Document | None:
    """The target's example with what is known of the things that its body has to name."""
    body = target.get("requestBody", {}).get("content", {}).get("application/json", {})
    schema, example = body.get("schema", {}), body.get("example")
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    named = {name: known[name] for name in schema.get("required", []) if name in known and name.endswith("_id")}
    return {**example, **named} if named and isinstance(example, dict) else None


def _listed(document: Document, schema: str) -> str | None:
    """What a page or a list is a list of."""
    data = document["components"]["schemas"][schema].get("properties", {}).get("data", {})
    reference = data.get("items", {}).get("$ref")
    return reference.rpartition("/")[2] if reference is not None else None
