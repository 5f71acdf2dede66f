"""The small enterprise of tests/store serves here too."""

from tests.store.conftest import db, world

__all__ = ["db", "world"]
