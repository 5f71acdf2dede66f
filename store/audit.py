"""Who changed what: one line of the ledger for each change by an operator, or to a key.

TO BE REPLACED: the hash-chained ledger (table audit_entries) takes this module's place, with this very signature. Until
then an entry is only written to the log, at level debug.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from store.pool import Conn

log = logging.getLogger("trunkline.audit")


def record(conn: Conn, *, actor: str, action: str, subject: str, data: Mapping[str, Any]) -> None:  # noqa: ARG001
    """Write one entry in the caller's transaction. ``actor``: operator:<name>, key:<prefix>, cli; ``subject``: what was
    changed, as <kind>:<name>; ``data`` holds no secret."""
    log.debug("audit", extra={"actor": actor, "action": action, "subject": subject, "data": dict(data)})
