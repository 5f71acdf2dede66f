"""Texts made into sound for the calls of one relay: what was spoken of late is not spoken again."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from pathlib import Path

from controller.relay.speech import AT_ONCE, VOICE, speak
from settings import Settings

#: Bytes of sound that are remembered, and of one text at most: 3 min of espeak-ng's, and 23 s.
_KEPT, _LONGEST = 8 << 20, 1 << 20


class Spoken:
    """Remembers the latest; texts with a callee's name in them push each other out."""

    def __init__(self) -> None:
        self._at_work = asyncio.Semaphore(AT_ONCE)
        self._known: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self._size = 0

    async def write(self, settings: Settings, voice: str | None, words: str, path: Path) -> None:
        """``words`` as a WAVE file that the switch can read. Raises :class:`controller.relay.speech.SpeechFailed`,
        ``OSError``.
        """
        key = (voice or VOICE, words)
        sound = self._known.get(key)
        if sound is None:
            async with self._at_work:
                sound = self._known.get(key)  # calls that ring at once have one text: another's wait may have been for it
                if sound is None:
                    await speak(settings.tts_program, key[0], words, path, timeout_s=settings.tts_timeout_s)
                    self._keep(key, path.read_bytes())
        if sound is not None:
            self._known.move_to_end(key)
            path.write_bytes(sound)
        path.chmod(0o644)

    def _keep(self, key: tuple[str, str], sound: bytes) -> None:
        if len(sound) > _LONGEST or key in self._known:
            return
        self._known[key] = sound
        self._size += len(sound)
        while self._size > _KEPT:
            _, oldest = self._known.popitem(last=False)
            self._size -= len(oldest)
