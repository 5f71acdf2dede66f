"""The `api` commands, by name. A handler takes (switch, arguments) and gives FreeSWITCH's text."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from lab.switch.commands import calls, displace, fork, gateways, laboratory, setup, system

if TYPE_CHECKING:
    from lab.switch.core import Switch

Handler = Callable[["Switch", str], str | Awaitable[str]]

REGISTRY: dict[str, Handler] = {
    **calls.HANDLERS,
    **displace.HANDLERS,
    **fork.HANDLERS,
    **gateways.HANDLERS,
    **system.HANDLERS,
    **setup.HANDLERS,
    **laboratory.HANDLERS,
}
