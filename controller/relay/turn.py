"""Whose turn it is to talk: an agent that is to take over is connected while another one still talks."""

from __future__ import annotations

import asyncio


class Turn:
    """``ours`` is set when this agent is the one that talks; ``prepared`` when it is ready to. ``waited``: another one
    talked before it in the same call.
    """

    def __init__(self, *, waiting: bool = False) -> None:
        self.waited = waiting
        self.ours = asyncio.Event()
        self.prepared = asyncio.Event()
        if not waiting:
            self.ours.set()
