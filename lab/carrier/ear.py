"""When the callee hears something and when it speaks itself, as lines of the arrival log."""

from __future__ import annotations

from collections.abc import Callable

from lab.audio import pcm

#: A frame whose loudest sample lies above this is sound (full scale is 32767).
LOUD = 500
#: ns; so long without sound is quiet. A pause between two words is shorter than this or counts as one.
QUIET_NS = 100_000_000
_FRAME_NS = int(pcm.FRAME_S * 1e9)


class Ear:
    """Notes `rtp` (the first packet), `heard` (sound begins), `quiet` (its end; stamped when the last loud frame was
    over), `speaks` and `pauses` (the callee's own voice)."""

    def __init__(self, note: Callable[[str, int], None]) -> None:
        self._note = note
        self._any = False
        self._loud_at = 0  # the last loud frame; 0 while it is quiet
        self._spoke_at = 0

    def hear(self, sound: bytes, stamp: int) -> None:
        """A frame arrived at `stamp` (ns, the kernel's)."""
        if not self._any:
            self._any = True
            self._note("rtp", stamp)
        if _loud(sound):
            if not self._loud_at:
                self._note("heard", stamp)
            self._loud_at = stamp

    def say(self, sound: bytes, now: int) -> None:
        """The callee sends this frame at `now`; also the clock that finds the end of sound, packets or none."""
        if self._loud_at and now - self._loud_at > QUIET_NS:
            self._note("quiet", self._loud_at + _FRAME_NS)
            self._loud_at = 0
        if _loud(sound):
            if not self._spoke_at:
                self._note("speaks", now)
            self._spoke_at = now
        elif self._spoke_at and now - self._spoke_at > QUIET_NS:
            self._note("pauses", self._spoke_at + _FRAME_NS)
            self._spoke_at = 0


def _loud(sound: bytes) -> bool:
    samples = pcm.unpack(sound)
    return bool(samples) and max(max(samples), -min(samples)) > LOUD
