"""What tests of the operator API share: an operator's key, and a switch that was seen."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

from flask import Flask

from store import operator_keys, switches
from tests.web.conftest import Api, World


def operator_api(app: Flask, world: World, name: str = "alice") -> Api:
    """Requests with a new operator's key."""
    return Api(app, operator_keys.create(world.database, name=name)[1])


def a_switch(world: World, name: str = "fs1") -> None:
    """A controller has spoken for it a moment ago."""
    switches.seen(world.database, name, str(uuid4()), datetime.now(UTC))
