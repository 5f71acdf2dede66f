"""docs/README.md leads to every page, and no page leads nowhere: files and headings that links name are there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", ROOT / "lab" / "README.md", *DOCS.glob("*.md")])
_LINK = re.compile(r"\]\((?!https?:)([^)\s#]*)(?:#([^)\s]*))?\)")
_CODE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def links(page: Path) -> Iterator[tuple[Path, str | None]]:
    """Where it leads: the file, and the anchor in it."""
    for path, anchor in _LINK.findall(_CODE.sub("", page.read_text())):
        yield (page.parent / path).resolve() if path else page, anchor or None


@cache
def anchors(page: Path) -> set[str]:
    """Of its headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", _CODE.sub("", page.read_text()), re.MULTILINE)
    bare = (re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower() for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in bare}


def test_the_index_leads_to_every_page() -> None:
    index = DOCS / "README.md"
    assert {*DOCS.glob("*.md")} - {path for path, _ in links(index)} == {index}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_link_leads_nowhere(page: Path) -> None:
    nowhere = [
        f"{path.relative_to(ROOT)}#{anchor or ''}"
        for path, anchor in links(page)
        if not path.exists() or (anchor is not None and anchor not in anchors(path))
    ]
    assert nowhere == []
