"""What calls cost, by prefix: by it the spend of tenants is counted that have a cap on it. All in millionths of one
currency, the house's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from store import audit
from store.pool import Conn, Database
from store.queries import load
from store.ranges import OUT_OF_RANGE, refused
from store.records import all_rows, one_row, recordset

_SQL = load("caps")
_RANGES = {
    "prefix": "0 to 15 digits, without +",
    "minute_micros": "0 to 1000000000",
    "attempt_micros": "0 to 1000000000",
    "increment_s": "1 to 3600",
}


@dataclass(frozen=True, slots=True)
class Price:
    """``prefix``: E.164 digits without +, the longest that fits holds, '' fits all. A minute of talk, charged in whole
    ``increment_s``, and each dial that left the switch.
    """

    prefix: str
    minute_micros: int
    attempt_micros: int = 0
    increment_s: int = 60


def put(db: Database, prices: Sequence[Price], *, actor: str) -> int:
    """Set these, and leave all others; how many. A call keeps the price that it was dialed by.

    Errors: ``ValueError`` naming the field; nothing is written then.
    """

    def unit(conn: Conn) -> int:
        conn.execute(_SQL["put_price"], {"rows": recordset([asdict(one) for one in prices])})
        for start in range(0, len(prices), 1000):
            some = [asdict(one) for one in prices[start : start + 1000]]
            audit.record(conn, actor=actor, action="prices.changed", subject="prices", data={"prices": some})
        return len(prices)

    seen = Counter(one.prefix for one in prices)
    twice = sorted(prefix for prefix, count in seen.items() if count > 1)
    if twice:
        raise ValueError(f"prices: the prefix {twice[0]!r} is there twice")
    try:
        return db.run(unit)
    except OUT_OF_RANGE as error:
        raise refused("prices", "prices", _RANGES, error) from error


def remove(db: Database, prefix: str, *, actor: str) -> bool:
    """False: there was none of that prefix."""

    def unit(conn: Conn) -> bool:
        gone = conn.execute(_SQL["remove_price"], {"prefix": prefix}).rowcount == 1
        if gone:
            audit.record(conn, actor=actor, action="prices.removed", subject="prices", data={"prefix": prefix})
        return gone

    return db.run(unit)


def list_prices(db: Database) -> list[Price]:
    """All, by prefix."""
    with db.connection() as conn:
        return all_rows(conn, Price, _SQL["list_prices"])


def get(db: Database, prefix: str) -> Price | None:
    """That of the very prefix; None: there is none."""
    with db.connection() as conn:
        return one_row(conn, Price, _SQL["get_price"], {"prefix": prefix})


def list_page(db: Database, limit: int, after: str | None = None) -> list[Price]:
    """By prefix, from behind ``after`` on."""
    with db.connection() as conn:
        return all_rows(conn, Price, _SQL["page_prices"], {"limit": limit, "after": after})


def price_of(db: Database, number: str) -> Price | None:
    """What calls to the number cost; None: nobody has said."""
    digits = number.removeprefix("+")
    with db.connection() as conn:
        return one_row(conn, Price, _SQL["price_of"], {"prefixes": [digits[:n] for n in range(len(digits) + 1)]})
