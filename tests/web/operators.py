"""What tests of the operator API share: an operator's key, and a switch that was seen."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask

from store import carriers, operator_keys, switches
from tests.web.conftest import Api, World

Noted = Callable[[], list[tuple[str, str, str, dict[str, Any]]]]


@pytest.fixture
def operator(app: Flask, world: World) -> Api:
    return operator_api(app, world)


@pytest.fixture
def noted(monkeypatch: Any) -> Noted:
    """Every line for the audit ledger: (actor, action, subject, data)."""
    lines: list[tuple[str, str, str, dict[str, Any]]] = []

    def record(_: Any, *, actor: str, action: str, subject: str, data: dict[str, Any], personal: Any = None) -> None:
        lines.append((actor, action, subject, json.loads(json.dumps(data, default=str))))

    monkeypatch.setattr("store.changes.audit.record", record)
    return lambda: lines


def fresh(prefix: str) -> str:
    return f"{prefix}-{uuid4().hex[:8]}"


@pytest.fixture
def carrier(world: World) -> str:
    name = fresh("telco")
    carriers.put_carrier(world.database, name=name, max_channels=10, cps=5)
    return name


def operator_api(app: Flask, world: World, name: str = "alice") -> Api:
    """Requests with a new operator's key."""
    return Api(app, operator_keys.create(world.database, name=name)[1])


def a_switch(world: World, name: str = "fs1") -> None:
    """A controller has spoken for it a moment ago."""
    switches.seen(world.database, name, str(uuid4()), datetime.now(UTC))
