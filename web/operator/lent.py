"""How operators are told what speaks against lending something to a tenant's agents."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from store import lent
from web.problems import FieldError, Problem, invalid


@contextmanager
def lending(in_use: str) -> Iterator[None]:
    """Around what gives it away or removes it. ``in_use``: the code where agents of others have it."""
    try:
        yield
    except lent.InUse as error:
        raise Problem(409, in_use, f"{error}.") from None
    except lent.NoTenant:
        raise invalid(FieldError("/tenant_id", "unknown_tenant", "there is no such tenant")) from None
