"""Who sits at the terminal, as the audit ledger names them."""

from __future__ import annotations

import getpass
import os


def actor() -> str:
    """``cli:<user>``, as far as the system knows."""
    try:
        return f"cli:{getpass.getuser()}"
    except (OSError, KeyError):
        return f"cli:uid-{os.getuid()}"
