"""create-agent: who talks to whoever answers, as POST /v1/agents makes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, BinaryIO

import click

from settings import get_settings
from trunkline.cli.common import changing, tenant

#: The option, or the member of a body, that says of which kind the agent is.
KINDS = {"url": "websocket", "audio": "announcement", "script": "announcement", "number": "sip", "pool": "fleet"}


@click.command("create-agent")
@click.argument("tenant_name", metavar="TENANT")
@click.argument("name")
@click.option("--url", help="ws:// or wss:// address of a voice agent")
@click.option("--protocol", help="trunkline, or twilio: how it is spoken to [default: trunkline]")
@click.option("--audio", help="or: name of a .wav file in the announcement directory, played without an agent")
@click.option("--number", help="or: E.164 number of a person or switchboard, rung once the callee has answered")
@click.option("--pool", help="or: name of a pool of workers (trunkline pools)")
@click.option(
    "--body",
    type=click.File("rb"),
    help="file with JSON as POST /v1/agents takes it, for all else; -: stdin",
)
def create_agent(tenant_name: str, name: str, body: BinaryIO | None, **options: str | None) -> None:
    """Create an agent of TENANT: who talks to the callee. Prints its id as calls name it.

    Greeting, fallback, script and menu, trunk and user, sample_rate, runtime and whatever else an agent has are members of
    the JSON object in --body (docs/agents.md). What the API refuses is refused here.
    """
    from calls.ids import agent_ref
    from web.api.agent_making import made
    from web.api.agent_requests import NewAgentRequest
    from web.api.parser import judged
    from web.problems import Problem
    from web.runtime import bounded_by

    settings = get_settings()
    try:
        given = {} if body is None else _read(body, settings.max_body_bytes)
        with bounded_by(settings):
            args = judged(NewAgentRequest, _whole(given, {"name": name, **options}))
        with changing() as change:
            agent = made(change.database, settings, tenant(change.database, tenant_name).id, args)
            told = {field: args.get(field) for field in ("kind", "url", "audio", "number", "pool", "trunk")}
            change.note("agent.created", f"agent:{tenant_name}/{name}", {**told, "fields": sorted(args)})
    except Problem as problem:
        raise ValueError(f"create-agent: {_words(problem)}") from None
    click.echo(agent_ref(agent.id))


def _read(body: BinaryIO, most: int) -> Any:
    """As the API reads one, which takes up to ``most`` bytes. ``ValueError``: it has more; :class:`web.problems.Problem`."""
    from web.jsonbody import read_given

    data = body.read(most + 1)
    if len(data) > most:
        raise ValueError(f"create-agent: the body has more than {most} bytes, which is as many as max_body_bytes allows")
    try:
        return read_given(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ValueError(f"create-agent: the body is not UTF-8 at byte {error.start}") from None


def _whole(given: Any, options: Mapping[str, str | None]) -> Any:
    """The body with what was said beside it. ``ValueError`` where they contradict each other, and without a kind."""
    if not isinstance(given, dict):
        return given  # refused as such
    whole = dict(given)
    for field, value in options.items():
        if value is not None and whole.setdefault(field, value) != value:
            raise ValueError(f"create-agent: {field} is {value!r} here, and another in the body: say it once")
    kind = next((KINDS[field] for field in KINDS if field in whole), None)
    if "kind" not in whole and kind is None:
        raise ValueError("create-agent: give one of --url, --audio, --number and --pool, or a --body with kind")
    return {"kind": kind, **whole}


def _words(problem: Any) -> str:
    faults = [f"{fault.where.removeprefix('/') or 'the body'}: {fault.detail}" for fault in problem.errors]
    return "; ".join(faults) or problem.detail


COMMANDS = (create_agent,)
