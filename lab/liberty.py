"""A tenant that may do anything: for tests, benches and the demo, whose numbers ring in the laboratory alone."""

from __future__ import annotations

from uuid import UUID

from calls.consent import Consent
from calls.destinations import Entry
from store import outbound
from store.pool import Database


def give_the_world(db: Database, tenant_id: UUID) -> None:
    """Every destination of every class, every caller id, at every hour, with consent."""
    outbound.allow(db, tenant_id, [Entry("+", risk="toll_fraud")])
    consent = Consent("express", reference="laboratory")
    outbound.update(db, tenant_id, hours="none", hours_reason="laboratory: nobody is called", consent=consent)
    for digit in "123456789":
        outbound.put_caller_id(db, tenant_id, f"+{digit}", block=True, reference="laboratory", block_least=1)
