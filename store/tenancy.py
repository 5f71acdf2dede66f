"""The way to Postgres for tenants' requests: each connection is in the role trunkline_web, bound by row level security.

What a connection sees is decided twice: by the role, which sees nothing that is a tenant's, and by the tenant that
``Database.of_tenant`` names in each transaction. docs/security.md lists who goes by another way, and why.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

import psycopg

from settings import Settings
from store.pool import WEB_ROLE, Conn, Database, conninfo, open_database
from store.queries import load

_SQL = load("tenancy")

log = logging.getLogger("trunkline.store")


class Unbound(psycopg.OperationalError):
    """This login, or the role, is not bound as it has to be: nobody's request is served that way."""


def open_tenant_database(settings: Settings, *, cooperative: bool, wait_s: float = 0.0) -> Database:
    """The pool of ``web_database_url`` (empty: ``database_url``); nobody's until ``of_tenant`` is asked.

    A login that may not take on the role, or may more than it, gets no connection: the log says what to do, whoever asks
    gets a ``PoolTimeout``.
    """
    own = bool(settings.web_database_url)
    return open_database(
        _own(settings), "web", cooperative=cooperative, wait_s=wait_s, warm=lambda conn: enter_web_role(conn, own)
    )


def require_bound(settings: Settings) -> None:
    """For the start of a process that serves tenants: raises :class:`Unbound` where their requests would not be bound. Where
    Postgres cannot be asked now nothing is raised: the pool asks the same of each connection that it makes.
    """
    try:
        with psycopg.connect(conninfo(_own(settings), "web")) as conn:
            _judge(conn, bool(settings.web_database_url))
    except Unbound:
        raise
    except psycopg.Error as error:
        log.warning("not known yet whether tenants are kept apart", extra={"error": str(error)})


def enter_web_role(conn: Conn, own_login: bool = False) -> None:
    """Makes ``conn`` one of trunkline_web's, whoever logged in. ``own_login``: the login is for that alone, so it may have
    no rights beside. Raises ``psycopg.Error``.
    """
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
    _judge(conn, own_login)


def _judge(conn: Conn, own_login: bool) -> None:
    try:
        guard = look(conn)
        conn.commit()
    except psycopg.errors.UndefinedTable:
        conn.rollback()  # before the first migration: there is nothing yet that could be seen
        return
    found = weaknesses(guard, guard if own_login else None)
    if found:
        told = "; ".join(f"{what}: {remedy}" for what, remedy in found)
        log.error("tenants' requests are not served: %s", told)
        raise Unbound(f"tenants' requests are not served: {told}")


def _own(settings: Settings) -> Settings:
    return settings.model_copy(update={"database_url": settings.web_database_url or settings.database_url})


@dataclass(frozen=True, slots=True)
class Guard:
    """How far row level security holds.

    ``role``: trunkline_web is there; ``passes``: it is not bound by the rules (superuser, BYPASSRLS, or a member of the
    tables' owner); ``may_enter``: this login can take it on. ``open_tables``: of those that have a tenant_id, those without
    forced rules. ``blind``: this login itself sees no tenant's rows, for it has not the owner's rights. ``more``: rights of
    the role that no migration gave it; ``beyond``: of this login, named ``login``, that the role has not. ``others``: logins
    of neither us nor the owner that may take on the role in this database.
    """

    role: bool
    passes: bool
    may_enter: bool
    open_tables: list[str]
    blind: bool
    more: list[str] = field(default_factory=list)
    beyond: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    login: str = ""


def weaknesses(guard: Guard, own_login: Guard | None) -> list[tuple[str, str]]:
    """Why a tenant's request could see or do more than it may, each with its remedy; web serves nobody then. ``own_login``:
    as the login of ``web_database_url`` sees it, which is to have no rights but the role's; None: that is not set.
    """
    found = []
    if guard.passes:
        what = f"{WEB_ROLE} passes by row level security: only the conditions in our SQL keep tenants apart"
        found.append((what, f"ALTER ROLE {WEB_ROLE} NOSUPERUSER NOBYPASSRLS, and make it no member of the tables' owner"))
    elif guard.more:
        what = f"{WEB_ROLE} has rights that no migration gave it ({_some(guard.more)})"
        found.append((what, f"take them away (ALTER ROLE {WEB_ROLE} NOLOGIN NOCREATEDB NOCREATEROLE NOREPLICATION; REVOKE)"))
    remedy = f"CREATE ROLE ... LOGIN; GRANT {WEB_ROLE} TO it, and nothing else"
    if own_login is not None and not own_login.blind:
        what = "WEB_DATABASE_URL's login has the rights of the tables' owner, or is a superuser: it protects nothing"
        found.append((what, remedy))
    elif own_login is not None and own_login.beyond:
        found.append((f"WEB_DATABASE_URL's login has rights beyond {WEB_ROLE}'s ({_some(own_login.beyond)})", remedy))
    return found


def _some(rights: list[str]) -> str:
    return ", ".join(rights[:5]) + (f", and {len(rights) - 5} more" if len(rights) > 5 else "")


def look(conn: Conn) -> Guard:
    """What the server says of it, asked as whoever ``conn`` logged in as."""
    row = conn.execute(_SQL["look"], {"role": WEB_ROLE}).fetchone()
    assert row is not None
    return Guard(*row)
