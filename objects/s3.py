"""Any S3-compatible store, by Amazon's own client (boto3, the extra ``s3``).

A file is sent whole or in parts, each with its MD5, which the store compares before it takes it: that much every compatible
store does, where newer checksums are not understood everywhere. Afterwards the object's length and our SHA-256 beside it are
asked for.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from objects.place import PlaceAway, checked_key
from settings import Settings

_SHA = "sha256"
_TYPE = "audio/wav"


class S3Place:
    """See :class:`objects.place.Place`. Raises ``ValueError`` when boto3 is not installed."""

    name = "s3"

    def __init__(self, settings: Settings) -> None:
        try:
            import boto3
            from botocore.config import Config
        except ImportError as error:
            raise ValueError("recording_s3_bucket: the S3 client is missing: pip install 'trunkline[s3]'") from error
        self._bucket = settings.recording_s3_bucket
        self._prefix = settings.recording_s3_prefix
        self._part = settings.recording_s3_part_bytes
        config = Config(
            signature_version="s3v4",
            connect_timeout=settings.recording_s3_timeout_s,
            read_timeout=settings.recording_s3_timeout_s,
            retries={"mode": "standard", "total_max_attempts": 2},  # who calls tries again, ever later
            # Path style where the store is not Amazon's: bucket names in host names need a wildcard DNS and certificate.
            s3={"addressing_style": "path" if settings.recording_s3_endpoint else "auto"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        self._client: Any = boto3.session.Session().client(
            "s3",
            endpoint_url=settings.recording_s3_endpoint or None,
            region_name=settings.recording_s3_region,
            aws_access_key_id=settings.recording_s3_access_key or None,
            aws_secret_access_key=settings.recording_s3_secret_key or None,
            config=config,
        )

    def put(self, key: str, file: Path, sha256: bytes) -> None:
        where = self._where(key)
        about = {"ContentType": _TYPE, "Metadata": {_SHA: sha256.hex()}}
        with _told(key):
            size = file.stat().st_size
            self._forget_parts(where)
            if size <= self._part:
                data = file.read_bytes()
                self._client.put_object(**where, **about, Body=data, ContentMD5=_md5(data))
            else:
                self._put_parts(where, about, file)
            found = self._client.head_object(**where)
            if found["ContentLength"] != size or found["Metadata"].get(_SHA) != sha256.hex():
                raise PlaceAway(f"{key}: the store has something else than was sent: {found['ContentLength']} bytes")

    def _put_parts(self, where: dict[str, str], about: dict[str, Any], file: Path) -> None:
        upload = self._client.create_multipart_upload(**where, **about)["UploadId"]
        try:
            parts: list[dict[str, object]] = []
            with file.open("rb") as source:
                while data := source.read(self._part):
                    number = len(parts) + 1
                    done = self._client.upload_part(
                        **where, UploadId=upload, PartNumber=number, Body=data, ContentMD5=_md5(data)
                    )
                    parts.append({"PartNumber": number, "ETag": done["ETag"]})
            self._client.complete_multipart_upload(**where, UploadId=upload, MultipartUpload={"Parts": parts})
        except BaseException:
            with _told(where["Key"]):
                self._client.abort_multipart_upload(**where, UploadId=upload)
            raise

    def _forget_parts(self, where: dict[str, str]) -> None:
        """Parts that a killed upload of this key has left: nobody sees them, but they are paid for."""
        found = self._client.list_multipart_uploads(Bucket=where["Bucket"], Prefix=where["Key"])
        for upload in found.get("Uploads", []):
            if upload["Key"] == where["Key"]:
                self._client.abort_multipart_upload(**where, UploadId=upload["UploadId"])

    def remove(self, key: str) -> None:
        with _told(key):
            self._client.delete_object(**self._where(key))

    def signed_url(self, key: str, ttl_s: int, name: str) -> str:
        """An address good for ``ttl_s`` s, under which the object is saved as ``name``. Asks nobody."""
        told = {"ResponseContentDisposition": f'attachment; filename="{name}"', "ResponseContentType": _TYPE}
        params = {**self._where(key), **told}
        return str(self._client.generate_presigned_url("get_object", Params=params, ExpiresIn=ttl_s))

    def _where(self, key: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._prefix + checked_key(key)}


def _md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


@contextmanager
def _told(key: str) -> Iterator[None]:
    """What the client raises as :class:`PlaceAway`; its texts name the operation and the store's code, never a secret."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise PlaceAway(f"{key}: {error}") from error
    except OSError as error:
        raise PlaceAway(f"{key}: {error.strerror or error}") from error
