"""The collector of garbage and the hub: a full collection walks over all that is loaded, and nobody dials meanwhile."""

from __future__ import annotations

import gc


def settle() -> None:
    """What is there by now stays for good, so no later collection looks at it. To be called once, when all is loaded."""
    gc.collect()
    gc.freeze()
