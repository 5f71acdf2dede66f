"""What a call counts against its carrier's CPS is not lowered while a gateway is left that is challenged."""

from __future__ import annotations

from collections.abc import Mapping

from store.pool import Conn
from store.queries import load

_SQL = load("gateways")


def check(conn: Conn, name: str, changes: Mapping[str, object]) -> None:
    """Before ``changes`` to the carrier of that name, in their transaction.

    Errors: ``ValueError`` when they bring ``invite_cost`` to 1 while a switch may have a gateway of its with a password.
    """
    if changes.get("invite_cost") != 1:
        return
    conn.execute(_SQL["lock"])  # a plan that still reads digest has been made by then, or sees the change
    if left := [str(row[0]) for row in conn.execute(_SQL["challenged"], {"name": name})]:
        raise ValueError(
            f"carrier {name!r}: invite_cost must stay 2 until its digest gateways are killed, for each call through them may"
            f" send its INVITE twice: {', '.join(left)}; run trunkline carriers apply, and try again when those are gone"
        )
