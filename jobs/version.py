"""Whose the budget is: one version of the scripts has it at a time (``budget_epoch.scripts``)."""

from __future__ import annotations

from budget.scripts import VERSION
from store.epoch import Epoch

#: s; a leader of an older version than the budget's leaves the lead to others for so long.
STAND_BACK_S = 5.0


class OtherScripts(RuntimeError):
    """The budget belongs to a newer version of the scripts: this process may neither use nor rebuild it."""


def refuse_newer(truth: Epoch) -> None:
    """Raises :class:`OtherScripts` when a newer version has the budget."""
    if truth.scripts > VERSION:
        raise OtherScripts(
            f"epoch {truth.epoch} is of scripts version {truth.scripts}, ours is {VERSION}: see docs/operations.md"
        )
