"""What a relay has spoken it does not speak again for a call that waits already."""

from __future__ import annotations

import asyncio
from pathlib import Path

from controller.relay.speech import AT_ONCE
from controller.relay.spoken import Spoken
from settings import Settings
from tests.relay.house import run
from tests.relay.test_script import voice


def test_calls_that_ring_at_once_do_not_each_have_their_text_spoken(tmp_path: Path) -> None:
    async def scenario() -> None:
        spoken, settings = Spoken(), Settings(tts_program=voice(tmp_path), tts_timeout_s=60.0)
        paths = [tmp_path / f"{number}.wav" for number in range(8)]
        await asyncio.gather(*(spoken.write(settings, None, "Hi", path) for path in paths))
        assert len({path.read_bytes() for path in paths}) == 1
        assert len((tmp_path / "asked").read_text().splitlines()) <= AT_ONCE, "no more than begin at once"

    run(scenario())
