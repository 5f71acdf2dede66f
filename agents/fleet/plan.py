"""What a keeper keeps."""

from __future__ import annotations

from dataclasses import dataclass, field

from agents.fleet.worker import ASK_S


@dataclass(frozen=True, slots=True)
class Plan:
    """``host``: where workers listen; ``advertise``: the name or address by which the relay reaches them. ``port`` 0: any
    free one, else seat i listens on port + i. ``divide``: workers come out of one process that has loaded the agent.
    ``user``: whose processes they are, "": the keeper's own; ``secrets``: without seats, whose tokens they take.
    ``ask_s``: how long a worker waits for each answer of its keeper's.
    """

    pool: str
    name: str
    workers: int
    agent: str
    host: str
    advertise: str
    port: int = 0
    divide: bool = True
    user: str = ""
    secrets: tuple[str, ...] = field(default=(), repr=False)
    ask_s: float = ASK_S
