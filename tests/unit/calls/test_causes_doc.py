"""docs/causes.md tells what the code does: its table of SIP codes is compared row by row."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

from calls.causes import END_REASONS, classify
from calls.evidence import End
from calls.rejects import Means
from calls.retry import FREE
from tests.contract.codes import CODES

DOC = Path(__file__).parents[3] / "docs" / "causes.md"
AT = datetime(2026, 11, 27, 9, 0, tzinfo=UTC)


def row(code: int) -> str:
    """The code with its usual phrase, before any ring."""
    cause, q850 = CODES[code]
    verdict = classify(End(cause, AT, q850, code, None, "recv_refuse"))
    again = f"{verdict.retry_class.value}{', free' if verdict.retry_class in FREE else ''}"
    return f"| {code} | {cause} | {q850} | {verdict.outcome.value} | {verdict.end_reason} | {again} |"


def test_every_code_is_in_the_table_as_it_is() -> None:
    told = [line for line in DOC.read_text().splitlines() if re.match(r"\| [3-6]\d\d \|", line)]
    assert told == [row(code) for code in CODES]


def test_every_class_of_a_carriers_text_is_named() -> None:
    text = DOC.read_text()
    assert [means for means in Means if f"`{means}`" not in text] == []


def test_every_end_reason_is_explained_where_ends_are() -> None:
    webhooks = (DOC.parent / "webhooks.md").read_text()
    assert [reason for reason, meaning in END_REASONS.items() if f"| `{reason}` | {meaning} |" not in webhooks] == []


if __name__ == "__main__":
    print("\n".join(row(code) for code in CODES))
