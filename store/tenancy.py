"""The way to Postgres for tenants' requests: each connection is in the role trunkline_web, bound by row level security.

What a connection sees is decided twice: by the role, which sees nothing that is a tenant's, and by the tenant that
``Database.of_tenant`` names in each transaction. docs/security.md lists who goes by another way, and why.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import psycopg

from settings import Settings
from store.pool import WEB_ROLE, Conn, Database, open_database
from store.queries import load

_SQL = load("tenancy")

log = logging.getLogger("trunkline.store")


def open_tenant_database(settings: Settings, *, cooperative: bool, wait_s: float = 0.0) -> Database:
    """The pool of ``web_database_url`` (empty: ``database_url``); nobody's until ``of_tenant`` is asked.

    A login that may not take on the role gets no connection: the log says what to do, whoever asks gets a ``PoolTimeout``.
    """
    url = settings.web_database_url or settings.database_url
    return open_database(
        settings.model_copy(update={"database_url": url}), "web", cooperative=cooperative, wait_s=wait_s, warm=enter_web_role
    )


def enter_web_role(conn: Conn) -> None:
    """Makes ``conn`` one of trunkline_web's, whoever logged in. Raises ``psycopg.Error``."""
    try:
        conn.execute(_SQL["enter"])
        conn.commit()
    except psycopg.Error as error:
        log.error(
            "tenants' requests cannot be served: this login may not take on the role %s: run 'trunkline migrate', and let"
            " the server's administrator run GRANT %s TO %s",
            WEB_ROLE,
            WEB_ROLE,
            conn.info.user,
            extra={"error": str(error)},
        )
        raise


@dataclass(frozen=True, slots=True)
class Guard:
    """How far row level security holds.

    ``role``: trunkline_web is there; ``passes``: it is not bound by the rules (superuser, BYPASSRLS, or a member of the
    tables' owner); ``may_enter``: this login can take it on. ``open_tables``: of those that have a tenant_id, those without
    forced rules. ``blind``: this login itself sees no tenant's rows, for it has not the owner's rights.
    """

    role: bool
    passes: bool
    may_enter: bool
    open_tables: list[str]
    blind: bool


def look(conn: Conn) -> Guard:
    """What the server says of it, asked as whoever ``conn`` logged in as."""
    row = conn.execute(_SQL["look"], {"role": WEB_ROLE}).fetchone()
    assert row is not None
    return Guard(*row)
