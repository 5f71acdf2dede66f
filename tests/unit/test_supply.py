"""What we are made of: no weak spot that bandit knows, nothing installed unpinned, no secret in the tree."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]


def test_bandit_finds_nothing_in_what_runs_in_production() -> None:
    ours = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]["bandit"]
    command = [sys.executable, "-m", "bandit", "--quiet", "-c", "pyproject.toml", "-r", *ours["targets"]]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stdout + done.stderr


def test_bandit_is_awake(tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text("import subprocess\nsubprocess.run(input(), shell=True)\n")
    command = [sys.executable, "-m", "bandit", "--quiet", "-c", str(CHECKOUT / "pyproject.toml"), str(bad)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 1


@pytest.mark.parametrize(
    ("said", "ended", "ci", "must", "told"),
    [
        ("No known vulnerabilities found", 0, 0, 0, ""),
        ("Found 2 known vulnerabilities in 1 package", 1, 1, 1, "A weakness is known"),
        ("ERROR: Dependency not found on PyPI and could not be audited: x", 1, 0, 1, "NOT AUDITED"),
        ("usage: pip-audit", 2, 1, 1, "does not run"),
    ],
)
def test_what_nobody_could_be_asked_is_neither_clean_nor_a_weakness(
    tmp_path: Path, said: str, ended: int, ci: int, must: int, told: str
) -> None:
    stand_in = tmp_path / "pip-audit"
    stand_in.write_text(f"#!/bin/sh\necho '{said}' >&2; exit {ended}\n")
    stand_in.chmod(0o755)
    for options, status in (([], ci), (["--must"], must)):
        command = [str(CHECKOUT / ".ci" / "audit"), *options]
        done = subprocess.run(
            command, env={**os.environ, "PIP_AUDIT": str(stand_in)}, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout.strip()) == (status, said)
        assert told in done.stderr
        assert bool(told) == bool(done.stderr)


def test_every_package_is_pinned_and_hashed() -> None:
    """So that what is audited is what is installed, byte for byte."""
    text = (CHECKOUT / "requirements.lock").read_text()
    entries = re.split(r"\n(?=[a-z0-9])", re.sub(r"(?m)^\s*#.*\n", "", text).strip(), flags=re.IGNORECASE)
    assert len(entries) > 50
    for entry in entries:
        assert re.match(r"[A-Za-z0-9._-]+==[^\s;]+", entry), entry
        assert "--hash=sha256:" in entry, entry
    assert re.search(r"://|@ |^-", text, re.MULTILINE) is None


#: What is somebody's to keep, by the shape that its maker gave it.
SECRETS = {
    "an API key": r"tl(?:_test|o)?_[a-z0-9]{8,16}_[0-9a-f]{64}\b",
    # But for examples: the standard's own, and ours.
    "a webhook secret": r"whsec_(?!MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw|c2VjcmV0LW9mLWF0)[A-Za-z0-9+/]{32,}",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "a cloud's key": r"A(?:KIA|SIA)[A-Z0-9]{16}\b",
    "a code host's token": r"gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{30,}|glpat-[A-Za-z0-9_-]{20,}",
    "a chat's token": r"xox[abprs]-[A-Za-z0-9-]{10,}",
    "a payment's key": r"[sr]k_live_[A-Za-z0-9]{16,}",
    "a signed token": r"eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.",
    # Words of the tests that are no passwords, and ports.
    "a password in an address": r"://[^\s:/@{}$<>'\"]*:(?!(?:\*+|u|p|pass|secret|hidden|[0-9]+#?)@)[^\s@/{}$<>'\"]+@",
}


def found_in(text: str) -> list[str]:
    return [f"{what}: {match[0][:24]}" for what, pattern in SECRETS.items() for match in re.finditer(pattern, text)]


def test_no_secret_is_in_the_tree() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=CHECKOUT, capture_output=True, check=False)
    names = [name for name in listed.stdout.decode().split("\0") if name]
    files = [CHECKOUT / name for name in names] if listed.returncode == 0 else _all_files()
    assert len(files) > 400
    texts = {file: file.read_text("utf-8", "replace") for file in files if file.is_file()}
    found = {str(file.relative_to(CHECKOUT)): found_in(text) for file, text in texts.items()}
    assert {name: hits for name, hits in found.items() if hits} == {}


def _all_files() -> list[Path]:
    """Of a copy without its history."""
    roots = [path for path in CHECKOUT.iterdir() if path.name not in (".venv", ".git", "build")]
    return [
        file for root in roots for file in ([root] if root.is_file() else root.rglob("*")) if "__pycache__" not in file.parts
    ]


@pytest.mark.parametrize(
    "text",
    [
        "tl_" + "a" * 12 + "_" + "0f" * 32,
        "-----BEGIN EC PRIVATE " + "KEY-----",
        "AKIA" + "ABCDEFGH12345678",
        "postgresql://web:hunter" + "22@db.internal/x",
    ],
)
def test_a_secret_would_be_seen(text: str) -> None:
    assert len(found_in(f"key = '{text}'")) == 1
