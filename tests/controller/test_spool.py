"""What the switch could not post is posted later, once, whatever happens meanwhile to whom."""

from __future__ import annotations

import base64
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest

from controller.spool import ASIDE, TORN_S, YOUNG_S, Spool, Swept, ship
from controller.spool_post import Fate, Poster, encoding_of, fate_of
from settings import Settings
from tests.contract.cdrs import recorded
from tests.web.receiver import Got, Receiver
from trunkline.children import wait_until

MOST = 1 << 16


class Desk:
    """A spool directory whose posts are answered by ``answers`` (file name -> fate), else taken."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.posted: list[tuple[str, bytes]] = []
        self.answers: dict[str, Fate] = {}
        self.now = 1_000_000.0
        self.spool = Spool(
            directory, self.post, MOST, 60.0, wall=lambda: self.now, clock=lambda: self.now
        )  # fmt: skip

    def post(self, name: str, data: bytes) -> Fate:
        self.posted.append((name, data))
        return self.answers.get(name, Fate("taken"))

    def put(self, data: bytes = b"{}\n", age_s: float = 10.0, name: str | None = None) -> str:
        name = name or f"{uuid4()}.cdr.json"
        path = self.directory / name
        path.write_bytes(data)
        os.utime(path, (self.now - age_s, self.now - age_s))
        return name

    @property
    def left(self) -> set[str]:
        return {path.name for path in self.directory.iterdir() if path.is_file()}

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.posted]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_the_oldest_first_and_each_removed_when_it_was_taken(desk: Desk) -> None:
    names = [desk.put(age_s=age) for age in (5, 30, 10)]
    assert desk.spool.sweep() == Swept(taken=3)
    assert desk.names == [names[1], names[2], names[0]]
    assert desk.left == set()
    assert desk.spool.sweep() == Swept()


def test_what_is_refused_is_kept_aside_and_holds_up_nobody(desk: Desk) -> None:
    bad, good = desk.put(b"junk\n", age_s=30), desk.put()
    desk.answers[bad] = Fate("refused", "answered 422: /callflow")
    assert desk.spool.sweep() == Swept(taken=1, refused=1)
    assert (desk.directory / ASIDE / bad).read_bytes() == b"junk\n"
    assert (desk.directory / ASIDE).stat().st_mode & 0o077 == 0
    assert desk.spool.sweep() == Swept()  # aside is aside
    assert desk.names == [bad, good]


def test_nobody_there_ends_the_look_and_loses_nothing(desk: Desk) -> None:
    first, second = desk.put(age_s=30), desk.put()
    desk.answers[first] = Fate("away", "answered 503")
    assert desk.spool.sweep() == Swept(left=2, away="answered 503")
    assert (desk.left, desk.names) == ({first, second}, [first])
    desk.answers.clear()
    assert desk.spool.sweep() == Swept(taken=2)


def test_one_that_fails_for_a_reason_of_its_own_is_tried_later(desk: Desk) -> None:
    sick, good = desk.put(age_s=30), desk.put()
    desk.answers[sick] = Fate("later", "answered 500")
    assert desk.spool.sweep() == Swept(taken=1, left=1)
    assert desk.names == [sick, good]
    desk.spool.sweep()
    assert desk.names == [sick, good]
    desk.now += 61
    desk.answers.clear()
    assert desk.spool.sweep() == Swept(taken=1)


def test_what_is_still_being_written_is_left_alone(desk: Desk) -> None:
    young = desk.put(age_s=YOUNG_S / 2)
    torn = desk.put(b'{"core-uuid": "1', age_s=TORN_S - 1)
    desk.spool.sweep()
    assert desk.names == []
    desk.now += YOUNG_S
    desk.spool.sweep()
    assert desk.names == [torn, young]  # torn for so long: whoever takes records may judge it
    assert desk.posted[0][1] == b'{"core-uuid": "1'


def test_a_clock_that_was_set_back_stops_nothing(desk: Desk) -> None:
    ahead = desk.put(age_s=-3600)
    desk.spool.sweep()
    assert desk.names == [ahead]


def test_only_records_in_this_directory_are_touched(desk: Desk, tmp_path_factory: pytest.TempPathFactory) -> None:
    secret = tmp_path_factory.mktemp("other") / "secret"
    secret.write_text("secret\n")
    (desk.directory / "link.cdr.json").symlink_to(secret)
    (desk.directory / "folder.cdr.json").mkdir()
    os.mkfifo(desk.directory / "pipe.cdr.json")
    desk.put(name="notes.txt")
    desk.put(name="half.cdr.json.tmp")
    assert desk.spool.sweep() == Swept()
    assert desk.names == []
    assert secret.exists()


def test_a_record_too_large_is_put_aside_unsent(desk: Desk) -> None:
    large, fits = desk.put(b"{" + b" " * MOST), desk.put(b"{" + b" " * (MOST - 2) + b"\n")
    assert desk.spool.sweep() == Swept(taken=1, refused=1)
    assert desk.names == [fits]
    assert (desk.directory / ASIDE / large).exists()


def test_another_one_ships_the_same_directory(desk: Desk) -> None:
    name = desk.put()

    def taken_by_both(_name: str, _data: bytes) -> Fate:
        (desk.directory / name).unlink()
        return Fate("taken")

    desk.spool.post = taken_by_both
    assert desk.spool.sweep() == Swept(taken=1)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (200, "taken"), (202, "taken"), (204, "taken"),
        (400, "refused"), (413, "refused"), (415, "refused"), (422, "refused"),
        (401, "away"), (403, "away"), (404, "away"), (405, "away"), (429, "away"), (502, "away"), (503, "away"),
        (301, "later"), (307, "later"), (408, "later"), (418, "later"), (500, "later"),
    ],
)  # fmt: skip
def test_what_an_answer_means(status: int, kind: str) -> None:
    assert fate_of(status).kind == kind


def test_the_reason_names_the_field() -> None:
    said = json.dumps({"detail": "Nothing was accepted. Correct: /callflow."}).encode()
    assert fate_of(422, said).why == "answered 422: Nothing was accepted. Correct: /callflow."
    for nonsense in (b"", b"<html>", b"[]", b'{"detail": 7}', b"\xff"):
        assert fate_of(422, nonsense).why == "answered 422"


@pytest.mark.parametrize(
    ("file", "kind", "body"),
    [
        (b'{"a":1}\n', "application/json", b'{"a":1}'),
        (quote('{"a":1}').encode() + b"\n", "application/x-www-form-urlencoded", b"cdr=%7B%22a%22%3A1%7D"),
        (base64.b64encode(b'{"a":1}') + b"\n", "application/x-www-form-base64-encoded", b"cdr=eyJhIjoxfQ=="),
        (b"", "application/json", b""),
    ],
)
def test_a_file_says_itself_how_it_is_encoded(file: bytes, kind: str, body: bytes) -> None:
    """With encode=true or base64 the module leaves the encoded text, without the field's name."""
    assert encoding_of(file) == (kind, body)


def options(url: str, **changes: Any) -> Settings:
    return Settings.model_validate({"cdr_url": url, "cdr_password": "secret", "cdr_timeout_s": 2.0, **changes})


def test_a_post_is_the_modules_own() -> None:
    with Receiver() as receiver:
        uuid = str(uuid4())
        assert Poster(options(f"{receiver.url}/internal/cdr")).post(uuid, "application/json", b"{}") == Fate("taken")
    (got,) = receiver.requests
    assert got.path == f"/hook/internal/cdr?uuid={uuid}"
    assert base64.b64decode(got.headers["authorization"].removeprefix("Basic ")) == b"freeswitch:secret"
    assert (got.headers["content-type"], got.body) == ("application/json", b"{}")


def test_who_does_not_answer_is_away() -> None:
    assert Poster(options("http://127.0.0.1:1/cdr")).post("x", "application/json", b"{}").kind == "away"
    with Receiver(behave=lambda _: None) as receiver:
        hangs = Poster(options(f"{receiver.url}", cdr_timeout_s=0.3)).post("x", "application/json", b"{}")
    assert hangs.kind == "away"
    with Receiver(status=307, headers={"Location": "http://127.0.0.1:1/"}) as receiver:
        assert Poster(options(receiver.url)).post("x", "application/json", b"{}").kind == "later"
    assert len(receiver.requests) == 1


def test_shipping_waits_longer_and_longer_and_says_so_once(
    desk: Desk, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    waits: list[float] = []
    stop = threading.Event()

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 6:
            desk.answers.clear()
        if len(waits) == 8:
            stop.set()

    class Stop:
        is_set = stop.is_set

    Stop.wait = staticmethod(wait)  # type: ignore[attr-defined]
    desk.answers[desk.put()] = Fate("away", "answered 503")
    ship(desk.spool, options("http://127.0.0.1:1/cdr", cdr_spool_interval_s=1, cdr_spool_backoff_s=8), Stop)  # type: ignore[arg-type]
    assert [round(seconds * 1.05) for seconds in waits[-2:]] == [1, 1]
    assert all(6.4 <= seconds <= 8 for seconds in waits[2:6])
    said = [record.message for record in caplog.records]
    assert said == ["the spool waits", "spooled cdrs shipped", "the spool goes on"]


def test_a_directory_that_is_not_there_yet_is_waited_for(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    gone = Spool(desk.directory / "later", desk.post, MOST, 60.0)
    with pytest.raises(FileNotFoundError):
        gone.sweep()
    (desk.directory / "later").mkdir()
    assert gone.sweep() == Swept()


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    """``process(url)``: the real program on the directory ``tmp_path``."""
    running: list[subprocess.Popen[bytes]] = []

    def start(url: str, **environ: str) -> subprocess.Popen[bytes]:
        own = {
            "TRUNKLINE_CDR_SPOOL": str(tmp_path), "TRUNKLINE_CDR_URL": url, "TRUNKLINE_CDR_PASSWORD": "secret",
            "TRUNKLINE_CDR_SPOOL_INTERVAL_S": "0.1", **environ,
        }  # fmt: skip
        running.append(
            subprocess.Popen([sys.executable, "-m", "controller.spool"], env={**os.environ, **own}, stderr=subprocess.PIPE)
        )
        return running[-1]

    yield start
    for one in running:
        one.kill()
        one.communicate()


def test_killed_between_post_and_removal_it_posts_the_same_record_again(
    tmp_path: Path, process: Callable[..., subprocess.Popen[bytes]]
) -> None:
    name = f"{uuid4()}.cdr.json"
    text = json.dumps(recorded("busy"))
    (tmp_path / name).write_text(f"{text}\n")
    hang = True

    def behave(_got: Got) -> int | None:
        return None if hang else 200

    with Receiver(behave=behave) as receiver:
        first = process(receiver.url)
        wait_until("the first post", lambda: len(receiver.requests) == 1, timeout_s=20)
        first.kill()
        first.wait()
        assert (tmp_path / name).exists()
        hang = False
        second = process(receiver.url)
        wait_until("the file to be removed", lambda: not (tmp_path / name).exists(), timeout_s=20)
        second.terminate()
        assert second.wait(10) == 0
    assert [got.body.decode() for got in receiver.requests] == [text, text]


@pytest.mark.parametrize("missing", ["TRUNKLINE_CDR_SPOOL", "TRUNKLINE_CDR_PASSWORD"])
def test_without_a_directory_or_a_password_it_says_so_and_waits(
    process: Callable[..., subprocess.Popen[bytes]], missing: str
) -> None:
    idle = process("http://127.0.0.1:1/cdr", **{missing: ""})
    assert idle.stderr is not None
    said = json.loads(idle.stderr.readline())
    assert (said["message"], said["not_set"]) == ("no spooled cdr is shipped", missing)
    assert idle.poll() is None
    idle.terminate()
    assert idle.wait(10) == 0
