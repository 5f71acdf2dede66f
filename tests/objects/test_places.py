"""Where recordings are kept: a directory, and an S3-compatible store spoken to over real HTTP."""

from __future__ import annotations

import hashlib
import random
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from objects.local import LocalPlace
from objects.place import PlaceAway, Places
from objects.s3 import S3Place
from objects.signing import is_good, sign
from settings import Settings
from tests.objects.stores import Store, s3_store

KEY = "tenant/2026/11/27/one.wav"
BAD_KEYS = ("../x.wav", "a/../../x.wav", "/etc/x.wav", "x.wav", "a/b", "a/.wav", "a//x.wav", "a/x.wav\n", "a/x y.wav")


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with s3_store() as running:
        yield running


def written(tmp_path: Path, size: int) -> tuple[Path, bytes, bytes]:
    """A file of that size, what is in it, and its SHA-256."""
    data = random.Random(size).randbytes(size)
    path = tmp_path / "spooled.wav"
    path.write_bytes(data)
    return path, data, hashlib.sha256(data).digest()


def test_a_directory_keeps_a_copy_until_it_is_removed(tmp_path: Path) -> None:
    place, (path, data, sha256) = LocalPlace(tmp_path / "kept"), written(tmp_path, 100_000)
    for _ in range(2):
        place.put(KEY, path, sha256)
        assert place.path(KEY).read_bytes() == data
    assert [found.name for found in place.path(KEY).parent.iterdir()] == ["one.wav"], "nothing half written is left"
    assert place.path(KEY).stat().st_mode & 0o007 == 0, "others may not read it"
    for _ in range(2):
        place.remove(KEY)
    assert not place.path(KEY).exists()


def test_a_copy_that_is_not_the_same_is_none(tmp_path: Path) -> None:
    place, (path, _, _) = LocalPlace(tmp_path / "kept"), written(tmp_path, 1000)
    with pytest.raises(PlaceAway, match="not what was to be copied"):
        place.put(KEY, path, bytes(32))
    assert not place.path(KEY).exists()


def test_a_directory_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    path, _, sha256 = written(tmp_path, 10)
    (tmp_path / "file").write_text("no directory")
    with pytest.raises(PlaceAway, match="file"):
        LocalPlace(tmp_path / "file").put(KEY, path, sha256)


@pytest.mark.parametrize("key", BAD_KEYS)
def test_a_key_that_is_none_of_ours_leads_nowhere(tmp_path: Path, store: Store, key: str) -> None:
    path, _, sha256 = written(tmp_path, 10)
    for place in (LocalPlace(tmp_path / "kept"), S3Place(store.place_settings())):
        with pytest.raises(ValueError, match="key: "):
            place.put(key, path, sha256)
        with pytest.raises(ValueError, match="key: "):
            place.remove(key)


def test_a_short_file_goes_to_s3_in_one_piece_and_a_long_one_in_parts(tmp_path: Path, store: Store) -> None:
    place = S3Place(store.place_settings(recording_s3_prefix="rec/"))
    for size, parts in ((100_000, None), (11 << 20, 3)):
        path, data, sha256 = written(tmp_path, size)
        place.put(KEY, path, sha256)
        assert store.read(f"rec/{KEY}") == data
        about = store.client.head_object(Bucket=store.bucket, Key=f"rec/{KEY}")
        assert about["Metadata"] == {"sha256": sha256.hex()}
        assert about["ContentType"] == "audio/wav"
        assert about["ETag"].strip('"').endswith(f"-{parts}") == (parts is not None)
    place.remove(KEY)
    place.remove(KEY)
    assert store.names() == []


def test_parts_that_a_killed_upload_left_are_forgotten(tmp_path: Path, store: Store) -> None:
    begun = store.client.create_multipart_upload(Bucket=store.bucket, Key=KEY)
    store.client.upload_part(Bucket=store.bucket, Key=KEY, UploadId=begun["UploadId"], PartNumber=1, Body=b"x")
    other = store.client.create_multipart_upload(Bucket=store.bucket, Key=f"{KEY}2")
    path, data, sha256 = written(tmp_path, 1000)
    S3Place(store.place_settings()).put(KEY, path, sha256)
    assert store.read(KEY) == data
    assert store.uploads() == [f"{KEY}2"], "only those of this very key are ours"
    store.client.abort_multipart_upload(Bucket=store.bucket, Key=f"{KEY}2", UploadId=other["UploadId"])


def test_an_upload_that_fails_in_the_middle_leaves_no_parts(tmp_path: Path, store: Store) -> None:
    place, (path, _, sha256) = S3Place(store.place_settings()), written(tmp_path, 11 << 20)
    send, sent = place._client.upload_part, []

    def second_fails(**given: Any) -> Any:
        sent.append(given["PartNumber"])
        if len(sent) == 2:
            given["ContentMD5"] = "AAAAAAAAAAAAAAAAAAAAAA=="  # what is changed on the way
            given["Body"] = given["Body"][:-1]
            raise OSError("cut off")
        return send(**given)

    place._client.upload_part = second_fails
    with pytest.raises(PlaceAway, match="cut off"):
        place.put("tenant/cut.wav", path, sha256)
    assert store.uploads() == []
    assert "tenant/cut.wav" not in store.names()


def test_what_the_store_holds_is_compared_before_it_counts(tmp_path: Path, store: Store) -> None:
    place, (path, _, sha256) = S3Place(store.place_settings()), written(tmp_path, 1000)
    head = place._client.head_object
    place._client.head_object = lambda **given: {**head(**given), "ContentLength": 999}
    with pytest.raises(PlaceAway, match="something else than was sent: 999 bytes"):
        place.put(KEY, path, sha256)


def test_a_store_that_is_away_or_refuses_is_told(tmp_path: Path, store: Store) -> None:
    path, _, sha256 = written(tmp_path, 1000)
    with pytest.raises(PlaceAway, match="NoSuchBucket"):
        S3Place(store.place_settings(recording_s3_bucket="nobodys")).put(KEY, path, sha256)
    place = S3Place(store.place_settings())
    store.down()
    try:
        with pytest.raises(PlaceAway, match="Could not connect"):
            place.put(KEY, path, sha256)
        with pytest.raises(PlaceAway, match="Could not connect"):
            place.remove(KEY)
    finally:
        store.up()


def test_a_signed_address_of_s3_needs_nothing_else(tmp_path: Path, store: Store) -> None:
    place, (path, data, sha256) = S3Place(store.place_settings()), written(tmp_path, 1000)
    place.put(KEY, path, sha256)
    url = place.signed_url(KEY, 60, "recording_1.wav")
    assert "X-Amz-Expires=60" in url
    assert "secret-of-ours" not in url
    asked = urllib.request.Request(url, headers={"Range": "bytes=10-19"})
    with urllib.request.urlopen(url, timeout=5) as whole, urllib.request.urlopen(asked, timeout=5) as part:
        assert whole.read() == data
        assert whole.headers["Content-Disposition"] == 'attachment; filename="recording_1.wav"'
        assert (part.status, part.read()) == (206, data[10:20])


def test_new_recordings_go_to_the_bucket_and_older_ones_stay_where_they_are(tmp_path: Path, store: Store) -> None:
    local = Places(Settings.model_validate({"recording_dir": str(tmp_path)}))
    both = Places(store.place_settings(recording_dir=str(tmp_path)))
    assert (local.names, local.for_new.name) == (["local"], "local")
    assert (both.names, both.for_new.name, both["local"].name) == (["local", "s3"], "s3", "local")
    with pytest.raises(LookupError, match="recordings in s3"):
        local["s3"]
    with pytest.raises(LookupError, match="set one of the two"):
        assert Places(Settings.model_validate({})).for_new


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"recording_spool": "/s"}, "say where recordings are kept"),
        ({"recording_spool": "/s", "recording_dir": "/s/"}, "another directory"),
        ({"recording_spool": "spool"}, "recording_spool"),
        ({"recording_s3_access_key": "a"}, "give access key and secret"),
        ({"recording_url_secret": "short"}, "32 characters"),
        ({"recording_s3_prefix": "no-slash"}, "recording_s3_prefix"),
    ],
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Settings.model_validate(wrong)


def test_a_signature_is_of_one_recording_one_time_and_one_secret() -> None:
    now = datetime(2026, 11, 27, tzinfo=UTC)
    until = int((now + timedelta(minutes=1)).timestamp())
    good = sign("secret", "recording_1", until)
    assert is_good("secret", "recording_1", str(until), good, now)
    assert not is_good("secret", "recording_2", str(until), good, now)
    assert not is_good("secret", "recording_1", str(until + 1), good, now)
    assert not is_good("other", "recording_1", str(until), good, now)
    assert not is_good("", "recording_1", str(until), sign("", "recording_1", until), now)
    assert not is_good("secret", "recording_1", str(until), good, now + timedelta(minutes=1))
