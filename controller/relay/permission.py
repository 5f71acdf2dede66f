"""Whether a switch lets us begin with a voice (``uuid_displace``), asked of a channel that is not there."""

from __future__ import annotations

from uuid import UUID

from controller import commands

_NOBODY = UUID(int=0)


def question(directory: str) -> commands.Command:
    """To be asked as the relay's user; ``directory``: where its pipes are."""
    return commands.uuid_displace(_NOBODY, f"{directory.rstrip('/')}/nobody.raw", under=[directory])


def denied(reply: str) -> str | None:
    """None: it is allowed; else the switch's words."""
    return None if reply.startswith("-ERR Cannot locate session") else reply.strip()[:200] or "no reply"
