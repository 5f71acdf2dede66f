"""The links of the description lead somewhere: each is gone along, from answers that the API gave."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from flask import Flask
from jsonschema import Draft202012Validator

from calls.ids import agent_ref
from tests.web.conftest import Api, World
from tests.web.operators import a_switch, operator_api
from tests.web.test_docs import _recorded, follow, operations


@dataclass(frozen=True)
class Step:
    """An answer of success, and what its request had in the path."""

    operation_id: str
    path: dict[str, str]
    body: Any
    links: dict[str, Any]


class Missing(Exception):
    """The answer does not hold what the link takes from it."""


def _value(expression: Any, step: Step) -> Any:
    """A runtime expression of OpenAPI, or values that hold some."""
    if isinstance(expression, dict):
        return {name: _value(inner, step) for name, inner in expression.items()}
    if not isinstance(expression, str) or not expression.startswith("$"):
        return expression
    if expression.startswith("$request.path."):
        return step.path[expression.removeprefix("$request.path.")]
    found = step.body
    for part in expression.removeprefix("$response.body#/").split("/"):
        try:
            found = found[int(part) if isinstance(found, list) else part]
        except (IndexError, KeyError):
            raise Missing(expression) from None
    if found is None:
        raise Missing(expression)
    return found


class Walk:
    """Asks operations by their ids, and holds every answer against what is described."""

    def __init__(self, api: Api, spec: dict[str, Any], kind: str = "api_key") -> None:
        self.api, self.spec = api, spec
        #: What such a key opens.
        self.described = {
            described["operationId"]: (*operation, described)
            for operation, described in operations(spec)
            if any(kind in way for way in described.get("security", spec["security"]))
        }

    def ask(self, operation_id: str, parameters: dict[str, str], body: Any) -> Step | None:
        method, path, described = self.described[operation_id]
        query = {name: value for name, value in parameters.items() if f"{{{name}}}" not in path}
        response = self.api.send(
            method, path.format(**parameters), query_string=query, **({} if body is None else {"json": body})
        )
        answer = follow(self.spec, described["responses"][str(response.status_code)])
        content = answer["content"][response.mimetype]
        schema = {**content["schema"], "components": self.spec["components"]}
        Draft202012Validator(schema).validate(response.get_json())
        if response.status_code >= 300:
            return None
        return Step(operation_id, parameters, response.get_json(), answer.get("links", {}))

    def roots(self, named: dict[str, str]) -> Iterator[Step]:
        """The answers of operations that need nothing: lists, and what their own examples create."""
        for operation_id, (_, path, described) in self.described.items():
            body = None
            if "requestBody" in described:
                (content,) = described["requestBody"]["content"].values()
                body = {**content["example"], **{k: v for k, v in named.items() if k in content["example"]}}
            if "{" not in path:
                step = self.ask(operation_id, {}, body)
                if step is not None:
                    yield step


def test_every_link_can_be_gone_along(api: Api, world: World, order: Callable[..., Any]) -> None:
    spec = api.get("/v1/openapi.json", key="").get_json()
    walk = Walk(api, spec)
    waiting = deque(walk.roots({"agent_id": agent_ref(world.our_agent.id)}))
    # The newest call is one that is recorded, so that there is something behind the links to recordings.
    # (One of the links suppresses the number of the examples.)
    _recorded(world, api.post("/v1/calls", order(to="+4930123457")).get_json()["id"])
    hook = api.post("/v1/webhook_endpoints", {"url": "https://example.com/hook", "events": ["*"]}).get_json()["id"]
    api.post(f"/v1/webhook_endpoints/{hook}/test", {})
    for listing in ("listCalls", "listWebhookDeliveries"):
        newest = walk.ask(listing, {}, None)
        assert newest is not None
        waiting.appendleft(newest)
    seen = _gone_along(walk, waiting)
    assert {"getCall", "listCallEvents", "getCallAction", "getRecording", "deleteRecording"} <= seen.keys()
    assert len(seen) >= len(walk.described) * 2 // 3, sorted(walk.described.keys() - seen.keys())


def test_every_operators_link_can_be_gone_along(app: Flask, world: World) -> None:
    api = operator_api(app, world)
    walk = Walk(api, api.get("/v1/openapi.json", key="").get_json(), "operator_key")
    a_switch(world)
    waiting = deque(walk.roots({"name": "linked"}))
    # Lists that no root filled.
    assert api.send("PUT", "/v1/operator/prices/49", json={"per_minute": 1}).status_code == 200
    assert api.send("PUT", "/v1/operator/tenants/ours/caller_ids/+442079460000", json={}).status_code == 200
    for listing, where in (("operatorListPrices", {}), ("operatorListCallerIds", {"tenant": "ours"})):
        filled = walk.ask(listing, where, None)
        assert filled is not None
        waiting.appendleft(filled)
    seen = _gone_along(walk, waiting)
    assert {"operatorGetTenant", "operatorGetKey", "operatorRemovePrice", "operatorGetSuppression"} <= seen.keys()
    assert len(seen) >= len(walk.described) * 2 // 3, sorted(walk.described.keys() - seen.keys())


def _gone_along(walk: Walk, waiting: deque[Step]) -> dict[str, set[str]]:
    """Every link of these answers, and of the answers behind them, once; by operation that answered, its links."""
    gone: set[tuple[str, str]] = set()
    seen: dict[str, set[str]] = {}
    ended: list[tuple[Step, str]] = []
    while waiting or ended:
        if not waiting:
            # What removes a thing, or ends it, comes after everything else that is done with it.
            waiting.extend(filter(None, (_along(walk, step, name) for step, name in ended)))
            ended = []
            continue
        step = waiting.popleft()
        seen.setdefault(step.operation_id, set()).update(step.links)
        for name, link in step.links.items():
            if (step.operation_id, name) in gone or link["operationId"] not in walk.described:
                continue
            try:
                _value(link.get("parameters", {}), step)
            except Missing:
                continue
            gone.add((step.operation_id, name))
            if walk.described[link["operationId"]][0] == "DELETE":
                ended.append((step, name))
            else:
                found = _along(walk, step, name)
                if found is not None:
                    waiting.append(found)
    # The last page has no next one.
    left = {(operation, name) for operation, names in seen.items() for name in names if name != "nextPage"} - gone
    assert left == set()
    return seen


def _along(walk: Walk, step: Step, name: str) -> Step | None:
    link = step.links[name]
    body = _value(link["requestBody"], step) if "requestBody" in link else None
    described = walk.described[link["operationId"]][2]
    if body is None and "requestBody" in described:
        (content,) = described["requestBody"]["content"].values()
        body = content["example"]
    return walk.ask(link["operationId"], _value(link.get("parameters", {}), step), body)
