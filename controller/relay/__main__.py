"""``python -m controller.relay``: the relay of one switch, until SIGTERM and then to the end of its conversations
(controller/relay/drain.py). SIGINT, or a second SIGTERM, ends it at once.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Callable

from budget.connect import connect
from controller.memory import settle
from controller.relay.book import StoreBook, terms
from controller.relay.drain import drain
from controller.relay.run import running
from controller.relay.seat import Seats
from settings import Settings, get_settings
from store.pool import open_database

log = logging.getLogger("controller.relay")

#: s; facts not yet written are waited for this long when the relay stops.
_DRAIN_S = 3.0


async def serve(settings: Settings) -> int:
    """Run until told to stop; returns the exit code."""
    stop, at_once = asyncio.Event(), asyncio.Event()

    def end(number: int) -> None:
        if number == signal.SIGINT or stop.is_set():
            at_once.set()
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end, number)
    db = open_database(settings, "relay", cooperative=False)
    book = StoreBook(db, settings.switch, terms(settings))
    redis = connect(settings)
    seats = Seats(redis)
    writer = asyncio.create_task(book.run())
    stopped = asyncio.create_task(stop.wait())
    try:
        async with running(settings, book, seats) as relay:
            settle()
            done, _ = await asyncio.wait([stopped, writer, *relay.tasks], return_when=asyncio.FIRST_COMPLETED)
            broken = [task for task in done if task is not stopped]
            if not broken:
                await drain(relay, settings.relay_drain_s, at_once)
        for task in broken:
            log.error("stopped by a fault", exc_info=task.exception() if not task.cancelled() else None)
        if not writer.done():
            try:
                await book.drain(_DRAIN_S)
            except TimeoutError:
                log.error("Postgres is away; some facts are lost")
        return 1 if broken else 0
    except (OSError, ValueError) as error:
        log.error("cannot start: %s", error)
        return 2
    finally:
        for task in (writer, stopped):
            task.cancel()
        await asyncio.wait([writer, stopped])
        book.close()
        seats.close()
        redis.close()
        db.close()


def main() -> int:
    """The process's entry."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    settings = get_settings()
    if not settings.esl_password:
        log.error("set TRUNKLINE_ESL_PASSWORD to the switch's event socket password")
        return 2
    with asyncio.Runner(loop_factory=_fast_loop()) as runner:
        return runner.run(serve(settings))


def _fast_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where it is installed: audio is many small messages. None: the standard loop."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


if __name__ == "__main__":
    sys.exit(main())
