"""A carrier that only looks at the clock: each datagram's kernel receive stamp goes into a raw arrival log.

    python -m lab.sink --name a --listen 127.0.0.1:0 --log a.jsonl [--cps N] [--pause-ms MS] [--before-others]

For benches of the permit alone, without a switch. A datagram is `CALL-ID SENDER` in ASCII; it is logged as kind
`datagram`, which lab.judge counts as an INVITE without a dialog. With `--pause-ms` the log also says (kind `pause`, `ms`)
when this process itself stood still for longer than that; `--before-others` asks for real-time priority. What is no such
datagram is logged as kind `strange`.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from pathlib import Path

from lab.canary import Canary, run_before_others
from lab.carrier.log import ArrivalLog
from lab.runner import announce, parse_address, run, until_signal
from lab.sip.udp import Address, UdpEndpoint

_DATAGRAM = re.compile(rb"([A-Za-z0-9-]{1,64}) ([A-Za-z0-9._:-]{1,64})")


def datagram(call_id: str, sender: str) -> bytes:
    """What a dialer sends here."""
    return f"{call_id} {sender}".encode("ascii")


class Sink:
    """`start()` on a running loop, `close()`."""

    def __init__(self, host: str, port: int, log: ArrivalLog) -> None:
        self._log = log
        self.endpoint = UdpEndpoint(host, port, self._received)

    def _received(self, data: bytes, peer: Address, stamp: int) -> None:
        found = _DATAGRAM.fullmatch(data)
        if found is None:
            self._log.write("strange", stamp, peer=f"{peer[0]}:{peer[1]}", bytes=len(data))
        else:
            self._log.write("datagram", stamp, call_id=found[1].decode(), peer=found[2].decode())


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m lab.sink", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--name", default="sink")
    parser.add_argument("--listen", default="127.0.0.1:0", help="HOST:PORT, port 0 picks a free one")
    parser.add_argument("--log", type=Path, required=True, help="raw arrival log (JSON lines, appended)")
    parser.add_argument("--cps", type=int, default=0, help="for the log's start line only: what lab.judge shall allow")
    parser.add_argument("--pause-ms", type=float, default=0.0, help="log own pauses longer than this, 0 = never")
    parser.add_argument("--before-others", action="store_true", help="real-time priority, where it can be had")
    args = parser.parse_args(argv)
    if args.before_others:
        run_before_others()
    try:
        host, port = parse_address(args.listen)
    except ValueError as error:
        sys.exit(f"lab.sink: --listen: {error}")

    async def serve() -> None:
        log = ArrivalLog(args.log)
        sink = Sink(host, port, log)
        sink.endpoint.start()
        stamps = "kernel" if sink.endpoint.kernel_stamps else "process"
        log.write("start", time.time_ns(), carrier=args.name, channels=0, cps=args.cps, stamps=stamps)
        address = sink.endpoint.address
        announce(kind="sink", name=args.name, udp=f"{address[0]}:{address[1]}")
        if args.pause_ms > 0:
            with Canary(args.pause_ms / 1000, tell=lambda s: log.write("pause", time.time_ns(), ms=round(s * 1000, 2))):
                await until_signal()
        else:
            await until_signal()
        sink.endpoint.close()
        log.close()

    run(serve)


if __name__ == "__main__":
    main()
