"""Rooms with an address that takes a list: its body may be larger than others."""

from __future__ import annotations

from typing import Any

from flask import g

from web.api.parser import Blueprint, StrictParser
from web.jsonbody import read_json

#: bytes; a larger list is refused (413).
IMPORT_BYTES = 1 << 20


class _ListParser(StrictParser):
    """A body may be as large as a list is, where the address ends with ``/import``."""

    def load_json(self, req: Any, *_: Any, **__: Any) -> Any:
        g.body = read_json(req, IMPORT_BYTES if req.path.endswith("/import") else None)
        return g.body


class Lists(Blueprint):
    """A blueprint whose addresses ``.../import`` take a list."""

    ARGUMENTS_PARSER = _ListParser()
