"""``python -m agents``: the fleet of this host, N workers that take one call each (docs/fleet.md)."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import re
import socket
import sys
from collections.abc import Callable
from urllib.parse import urlsplit
from uuid import uuid4

from agents.fleet.confine import keep_to_itself, uid_of
from agents.fleet.herald import Herald
from agents.fleet.keeper import Keeper
from agents.fleet.plan import Plan
from agents.fleet.worker import ASK_S
from settings import get_settings

REFERENCE = "agents.reference.talk:answer"


def _name(text: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,55}", text) is None:
        raise argparse.ArgumentTypeError("give 1 to 56 of A-Z a-z 0-9 . _ -")
    return text


def _pool(text: str) -> str:
    if re.fullmatch(r"[a-z0-9][a-z0-9-]{0,31}", text) is None:
        raise argparse.ArgumentTypeError("give 1 to 32 of a-z, 0-9 and -, not starting with -")
    return text


def _whole(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"give a whole number, {least} to {most}")
        return int(text)

    return read


def _seconds(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0.01 <= found <= 60:
        raise argparse.ArgumentTypeError("give seconds, 0.01 to 60")
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m agents", description=__doc__)
    add = parser.add_argument
    add("--pool", type=_pool, default="default", help="whose calls they take (default: %(default)s)")
    add("--workers", type=_whole(1, 500), default=4, metavar="N", help="seats, each a process (default: %(default)s)")
    add("--agent", default=REFERENCE, metavar="MODULE:FUNCTION",
        help="async function that is given the WebSocket of a call (default: %(default)s)")  # fmt: skip
    add("--name", type=_name, default=re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:56] or "host",
        help="of this keeper: seats are called NAME-0, NAME-1 ... (default: %(default)s)")  # fmt: skip
    add("--host", default="127.0.0.1", help="address the workers listen on (default: %(default)s)")
    add("--advertise", default=None, metavar="HOST", help="address by which the relay reaches them (default: as --host)")
    add("--port", type=_whole(0, 65_000), default=0, help="seat i listens on this port + i; 0: on any free one (default)")
    add("--fresh", action="store_true", help="start each worker anew: for an agent that starts threads while it is imported")
    add("--no-seats", action="store_true", help="speak for no seats: a proxy hands out the calls, by GET /healthz")
    add("--user", default="", metavar="NAME", help="whose processes the workers are, when root "
        "starts this (default: root's, without its capabilities)")  # fmt: skip
    add("--ask-s", type=_seconds, default=ASK_S, metavar="S", help="s; a worker waits for each answer of its keeper's while "
        "somebody connects; the relay waits 2 s for both (default: %(default)s)")  # fmt: skip
    add("--drain-s", type=float, default=3600.0, metavar="S", help="s; calls may go on after SIGTERM (default: %(default)s)")
    return parser


def main() -> int:
    """The process's entry."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    log = logging.getLogger("agents.keeper")
    try:
        keep_to_itself()
    except OSError as error:
        log.warning("whoever runs as this user can read the keeper's environment, and so can the agent's code: %s", error)
    arguments, settings = _parser().parse_args(), get_settings()
    if arguments.user:
        try:
            if uid_of(arguments.user) != os.geteuid() and os.geteuid() != 0:
                raise ValueError(f"--user {arguments.user}: only root can start workers of another user")
        except ValueError as error:
            log.error("%s", error)
            return 2
    plan = Plan(
        arguments.pool, arguments.name, arguments.workers, arguments.agent, arguments.host,
        arguments.advertise or arguments.host, arguments.port, divide=not arguments.fresh, user=arguments.user,
        secrets=tuple(filter(None, os.environ.get("TRUNKLINE_AGENT_SECRET", "").split(","))), ask_s=arguments.ask_s,
    )  # fmt: skip
    herald = None
    if not arguments.no_seats:
        if not settings.cdr_password:
            log.error("set TRUNKLINE_CDR_PASSWORD as it is set for the API, or --no-seats")
            return 2
        if urlsplit(settings.fleet_url).scheme not in ("http", "https"):
            log.error("TRUNKLINE_FLEET_URL: %r is no http:// or https:// address", settings.fleet_url)
            return 2
        keeper = f"{arguments.name}-{uuid4().hex[:8]}"
        herald = Herald(settings.fleet_url, settings.cdr_user, settings.cdr_password, keeper)
    return asyncio.run(_keep(plan, herald, arguments.drain_s))


async def _keep(plan: Plan, herald: Herald | None, drain_s: float) -> int:
    return await Keeper(plan, herald).run(drain_s)


if __name__ == "__main__":
    sys.exit(main())
