"""An S3-compatible store on loopback (moto's server: real HTTP, everything in memory)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import boto3
from moto.server import ThreadedMotoServer

from settings import Settings
from trunkline.private import free_port

KEY, SECRET = "key-of-ours", "secret-of-ours"


@dataclass
class Store:
    """Can go away and come back: what it holds stays."""

    port: int = field(default_factory=free_port)
    bucket: str = field(default_factory=lambda: f"recordings-{uuid4().hex[:8]}")

    def __post_init__(self) -> None:
        self.client: Any = boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
        )
        self.up()
        self.client.create_bucket(Bucket=self.bucket)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def up(self) -> None:
        self._server = ThreadedMotoServer("127.0.0.1", self.port, verbose=False)
        self._server.start()

    def down(self) -> None:
        self._server.stop()

    def settings(self, **changes: object) -> dict[str, object]:
        """What makes it the place of recordings."""
        return {
            "recording_s3_bucket": self.bucket,
            "recording_s3_endpoint": self.url,
            "recording_s3_access_key": KEY,
            "recording_s3_secret_key": SECRET,
            "recording_s3_part_bytes": 5 << 20,
            "recording_s3_timeout_s": 5.0,
            **changes,
        }

    def place_settings(self, **changes: object) -> Settings:
        return Settings.model_validate(self.settings(**changes))

    def names(self) -> list[str]:
        return [one["Key"] for one in self.client.list_objects_v2(Bucket=self.bucket).get("Contents", [])]

    def uploads(self) -> list[str]:
        """Keys of which there are parts only."""
        return [one["Key"] for one in self.client.list_multipart_uploads(Bucket=self.bucket).get("Uploads", [])]

    def read(self, key: str) -> bytes:
        data: bytes = self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return data


@contextmanager
def s3_store() -> Iterator[Store]:
    store = Store()
    try:
        yield store
    finally:
        store.down()
