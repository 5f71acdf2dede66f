"""Commands about recordings: the path is a setting and an attempt's id, and nothing else gets into one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest

from calls.recording import attempt_of, file_name, object_key
from controller.commands import Command, CommandError, wire
from controller.record_commands import record_mask, record_start, record_stop, record_unmask, recording_path

ATTEMPT = UUID("6b1f2a54-0000-4000-8000-000000000001")
BUILDERS = (record_start, record_mask, record_unmask, record_stop)


def test_what_goes_onto_the_wire() -> None:
    path = f"/var/spool/recordings/{ATTEMPT}.wav"
    variables = "{RECORD_STEREO=true,RECORD_MIN_SEC=0}"
    for build, told in (
        (record_start, f"start {path} 0 {variables}"),
        (record_mask, f"mask {path}"),
        (record_unmask, f"unmask {path}"),
        (record_stop, f"stop {path}"),
    ):
        command = build(ATTEMPT, under="/var/spool/recordings/")
        assert wire(command) == f"api uuid_record {ATTEMPT} {told}\n\n".encode()
        assert command.is_deed, "only who is on duty may give it"


@pytest.mark.parametrize("build", BUILDERS)
@pytest.mark.parametrize(
    "directory",
    ["", "/", "spool", "/spool/../etc", "/spool/..", "/spo ol", "/spool\n", "/spool/{a=b}", "//spool", "/sp|ool", "/spü"],
)
def test_no_other_directory_gets_into_a_command(build: Callable[..., Command], directory: str) -> None:
    with pytest.raises(CommandError, match="under: give"):
        build(ATTEMPT, under=directory)


@pytest.mark.parametrize("build", BUILDERS)
def test_only_an_id_gets_into_a_command(build: Callable[..., Command]) -> None:
    with pytest.raises(CommandError, match="attempt_id: give a UUID"):
        build(f"{ATTEMPT} all", under="/spool")


def test_a_file_is_known_by_its_name_alone() -> None:
    assert attempt_of(recording_path(ATTEMPT, under="/spool")) == ATTEMPT
    assert attempt_of(file_name(ATTEMPT)) == ATTEMPT
    for other in (
        "",
        "all",
        f"{ATTEMPT}",
        f"x{ATTEMPT}.wav",
        f"{ATTEMPT}.wav.part",
        f"{ATTEMPT}.wav/",
        str(ATTEMPT).upper() + ".wav",
    ):
        assert attempt_of(other) is None


def test_an_object_lies_with_its_tenant_by_the_day_in_utc() -> None:
    late = datetime(2026, 11, 27, 23, 30, tzinfo=timezone(timedelta(hours=-5)))
    assert object_key(UUID(int=1), ATTEMPT, late) == f"{UUID(int=1)}/2026/11/28/{ATTEMPT}.wav"
    assert object_key(UUID(int=1), ATTEMPT, late.astimezone(UTC)) == object_key(UUID(int=1), ATTEMPT, late)
