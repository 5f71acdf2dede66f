"""Whose certificates are believed when the relay connects to an agent by ``wss://``."""

from __future__ import annotations

import functools
import ssl

from settings import Settings


def agent_tls(settings: Settings) -> ssl.SSLContext:
    """The system's authorities and those of ``agent_ca_file``.

    Read once: to read some hundred certificates takes a tenth of a second, in which no call of this relay would get a
    frame. Raises ``ValueError`` naming the setting when the file cannot be used.
    """
    return _read(settings.agent_ca_file)


@functools.lru_cache(maxsize=4)
def _read(ca_file: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_file:
        try:
            context.load_verify_locations(cafile=ca_file)
        except (OSError, ssl.SSLError) as error:
            raise ValueError(f"TRUNKLINE_AGENT_CA_FILE: {ca_file!r}: {error}: give a file of certificates as PEM") from error
    return context
