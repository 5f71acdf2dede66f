"""What the doctor says of recordings: each fault with its remedy, and nothing where all is well."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4

import pytest

from settings import Settings
from trunkline.doctor.recordings import recordings


def said(tmp_path: Path, **changes: object) -> list[tuple[str, str]]:
    """(level, what) of each finding."""
    given = {
        "recording_spool": str(tmp_path / "spool"),
        "recording_dir": str(tmp_path / "kept"),
        "recording_url_secret": "s" * 32,
        **changes,
    }
    found = recordings(Settings.model_validate(given))
    assert all(one.about == "recordings" for one in found)
    return [(one.level, one.what) for one in found]


@pytest.fixture(autouse=True)
def spool(tmp_path: Path) -> Path:
    (tmp_path / "spool").mkdir()
    return tmp_path / "spool"


def test_where_nothing_is_recorded_nothing_is_asked(tmp_path: Path) -> None:
    ((level, what),) = said(tmp_path, recording_spool="", recording_dir="")
    assert level == "ok"
    assert "no call is recorded" in what


def test_what_is_well_is_one_line(tmp_path: Path, spool: Path) -> None:
    (spool / f"{uuid4()}.wav").touch()
    ((level, what),) = said(tmp_path)
    assert (level, str(spool) in what) == ("ok", True)


def test_each_fault_is_told(tmp_path: Path, spool: Path) -> None:
    old = spool / f"{uuid4()}.wav"
    old.touch()
    os.utime(old, (1.0, 1.0))
    (spool / "refused").mkdir()
    (spool / "refused" / "x.wav").touch()
    (tmp_path / "kept").write_text("no directory")
    levels = said(tmp_path)
    assert [level for level, _ in levels] == ["warn", "warn", "fail"]
    assert "1 files lie in" in levels[0][1]
    assert "refused" in levels[1][1]
    assert "kept" in levels[2][1]
    ((level, what),) = said(tmp_path, recording_dir=str(tmp_path / "other"), recording_spool=str(tmp_path / "none"))
    assert (level, "none is no directory" in what) == ("fail", True)


def test_without_a_secret_no_address_is_given(tmp_path: Path) -> None:
    ((level, what),) = said(tmp_path, recording_url_secret="")
    assert (level, what) == ("warn", "no address of a recording is given out")
