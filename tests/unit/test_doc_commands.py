"""Every command line ``trunkline ...`` that the pages show is one that the program takes: its names, options and values."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from trunkline.cli import main

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "lab" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_FENCE = re.compile(r"^```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"(?:\w+=\S* +)*(?:\.venv/bin/)?trunkline (.+)")
#: Where a line is cut off: a comment, a column of explanations, what a shell does with the output, an alternative.
_END = re.compile(r" +# |\s{2,}| [|>] ")
#: A line that shows a form, not a command.
_FORM = re.compile(r"\.\.\.|\[|[a-z]\|[a-z]|\b(?:AGENT|DIR|ID|N|NAME|NUMBER|S|TENANT)\b")


def commands() -> Iterator[tuple[str, str]]:
    """Page and command line."""
    for page in PAGES:
        text = page.read_text()
        code = "\n".join(_FENCE.findall(text))
        indented = "\n".join(line[4:] for line in _FENCE.sub("", text).splitlines() if line.startswith("    "))
        for line in re.sub(r"\\\n\s*", "", f"{code}\n{indented}").splitlines():
            found = _COMMAND.fullmatch(line.strip())
            if found is not None:
                yield page.name, _END.split(found[1])[0].strip()


def parse(words: list[str]) -> None:
    """As the program would, to the last command, which is not run."""
    context = main.make_context("trunkline", words)
    while isinstance(context.command, click.Group):
        name, command, rest = context.command.resolve_command(context, [*context._protected_args, *context.args])
        assert command is not None
        context = command.make_context(name, rest, parent=context)


def test_every_command_in_the_docs_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRUNKLINE_API_KEY", "tl_")
    shown = [(page, line) for page, line in commands() if _FORM.search(line.replace("'", "")) is None]
    assert len(shown) > 70
    wrong = []
    for page, line in shown:
        words = shlex.split(line)
        for word in words:
            if word.endswith(".csv") or word.startswith("Procfile"):
                Path(word).touch()
        try:
            parse(words)
        except click.ClickException as error:
            wrong.append(f"{page}: trunkline {line}: {error.format_message()}")
    assert wrong == []
