"""mod_json_cdr: posts each record by one thread of its own, tries again, and leaves on disk what it could not post."""

from __future__ import annotations

import contextlib
import json
import logging
import queue
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3

log = logging.getLogger("lab.switch")


@dataclass(frozen=True, slots=True)
class CdrConfig:
    """As json_cdr.conf.xml; seconds. ``url`` '': nothing is posted. ``spool`` None: what cannot be posted is lost."""

    url: str = ""
    user: str = "freeswitch"
    password: str = ""
    spool: Path | None = None
    retries: int = 2
    delay_s: float = 1.0
    timeout_s: float = 5.0
    queue_capacity: int = 1000


class JsonCdr:
    """``put`` from the switch's own thread; it returns at once. The records that wait die with the process."""

    def __init__(self, config: CdrConfig) -> None:
        self.config = config
        self.posted = self.spooled = 0
        self._queue: queue.Queue[tuple[str, bytes] | None] = queue.Queue(config.queue_capacity)
        self._ended = threading.Event()
        if config.spool is not None:
            config.spool.mkdir(parents=True, exist_ok=True)
        self._thread = threading.Thread(target=self._work, name="cdr", daemon=True)

    @property
    def on(self) -> bool:
        return bool(self.config.url)

    def start(self) -> None:
        if self.on:
            self._thread.start()

    def stop(self) -> None:
        """As the module at shutdown: what waits is dropped."""
        self._ended.set()
        if self._thread.is_alive():
            with contextlib.suppress(queue.Full):
                self._queue.put_nowait(None)
            self._thread.join(self.config.timeout_s + 1)

    def put(self, uuid: str, record: dict[str, Any]) -> None:
        text = json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")
        try:
            self._queue.put_nowait((uuid, text))
        except queue.Full:
            self._spool(uuid, text)

    def _work(self) -> None:
        headers = urllib3.make_headers(
            basic_auth=f"{self.config.user}:{self.config.password}", user_agent="freeswitch-json/1.0"
        )
        # The module makes a connection for each record.
        pool = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(total=self.config.timeout_s))
        while (item := self._queue.get()) is not None and not self._ended.is_set():
            uuid, text = item
            if not self._tried(pool, {**headers, "Content-Type": "application/json", "Connection": "close"}, uuid, text):
                self._spool(uuid, text)

    def _tried(self, pool: urllib3.PoolManager, headers: dict[str, str], uuid: str, text: bytes) -> bool:
        for turn in range(1 + self.config.retries):
            if turn and self._ended.wait(self.config.delay_s):
                break
            try:
                answer = pool.request("POST", f"{self.config.url}?uuid={uuid}", body=text, headers=headers, redirect=False)
            except (urllib3.exceptions.HTTPError, OSError) as error:
                log.debug("cdr not posted: %s", error)
                continue
            if 200 <= answer.status < 300:
                self.posted += 1
                return True
            log.warning("cdr not taken: %d %s", answer.status, answer.data[:200])
        return False

    def _spool(self, uuid: str, text: bytes) -> None:
        if self.config.spool is None:
            return
        try:
            (self.config.spool / f"{uuid}.cdr.json").write_bytes(text + b"\n")
            self.spooled += 1
        except OSError as error:
            log.error("cdr lost: %s", error)
