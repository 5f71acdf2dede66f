"""Row level security: does it hold between tenants, whoever serves their requests?"""

from __future__ import annotations

import psycopg

from settings import Settings
from store import tenancy
from store.pool import WEB_ROLE, Database, open_database
from store.tenancy import Guard, weaknesses
from trunkline.doctor.finding import Finding, fail, ok, warn

ABOUT = "tenants apart"
#: s; a login that gets no connection in so long gets none.
WAIT_S = 5.0


def judge_guard(guard: Guard, own_login: Guard | None) -> list[Finding]:
    """``guard``: as DATABASE_URL's login sees it. ``own_login``: as WEB_DATABASE_URL's does; None: that is not set."""
    found: list[Finding] = []
    if not guard.role:
        return [fail(ABOUT, f"there is no role {WEB_ROLE}: no tenant's request is served", "trunkline migrate")]
    found += [fail(ABOUT, f"{what}: web does not start", remedy) for what, remedy in weaknesses(guard, own_login)]
    if guard.open_tables:
        what = f"without row level security: {', '.join(guard.open_tables)}"
        found.append(fail(ABOUT, what, "SELECT guard_tenant_tables(); as the owner of the tables"))
    if guard.blind:
        what = "DATABASE_URL's login has not the rights of the tables' owner: it sees no tenant's rows, and dials nothing"
        found.append(fail(ABOUT, what, "log in as the owner, or GRANT the owner's role to this login"))
    entering = guard if own_login is None else own_login
    if not entering.may_enter:
        whose = "DATABASE_URL" if own_login is None else "WEB_DATABASE_URL"
        what = f"{whose}'s login may not take on {WEB_ROLE}: no tenant's request is served"
        found.append(fail(ABOUT, what, f"GRANT {WEB_ROLE} TO that login"))
    others = [name for name in guard.others if own_login is None or name != own_login.login]
    if others:
        what = f"other logins may take on {WEB_ROLE} in this database, and see any tenant's rows: {', '.join(others)}"
        remedy = "REVOKE CONNECT ON DATABASE ... FROM PUBLIC and GRANT it to our logins, where they are another house's"
        found.append(warn(ABOUT, what, remedy))
    return found or [ok(ABOUT, f"row level security holds for {WEB_ROLE}")]


def look(settings: Settings, db: Database) -> list[Finding]:
    """Asks as whoever each address logs in."""
    with db.connection() as conn:
        guard = tenancy.look(conn)
    if not settings.web_database_url:
        return judge_guard(guard, None)
    own = settings.model_copy(update={"database_url": settings.web_database_url})
    try:
        with open_database(own, "doctor", cooperative=False, wait_s=WAIT_S) as web, web.connection() as conn:
            return judge_guard(guard, tenancy.look(conn))
    except psycopg.Error as error:
        what = f"WEB_DATABASE_URL does not answer: {' '.join(str(error).split())}"
        return [fail(ABOUT, what, "mend it, or leave it out")]
