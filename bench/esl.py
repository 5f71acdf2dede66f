"""Events decoded and handled per second of CPU: our link beside stock greenswitch, one stream from another process.

Each reader runs in a process of its own, in turns, on events of 90 headers and about 5 kB. Both hand every event to a
handler that reads three headers; the sum of the sequence numbers proves that all of them arrived. Ours asks for JSON,
greenswitch for plain, which is all it can read. The reader's own CPU time counts, so a busy machine changes little.
"""

from __future__ import annotations

import json
import select
import socket
import subprocess
import sys
import time
from urllib.parse import quote

from bench import Ratio, Report, alternate

EVENTS = 20_000
HEADERS = 90
ROUNDS = 5
_NAMES = ("CHANNEL_CREATE", "CHANNEL_PROGRESS", "CHANNEL_ANSWER", "CHANNEL_HANGUP_COMPLETE")
_PASSWORD = "bench"  # noqa: S105  # of a server that lives for one round
_CORE = "1142e8e8-df76-4288-91f5-9c9ddd72d6f0"
_LIMIT_S = 60.0


def run() -> Report:
    ours, peer = alternate(ROUNDS, lambda: measure("ours", EVENTS), lambda: measure("greenswitch", EVENTS))
    return Report(
        [Ratio("decode", ours, peer, "events per CPU second", "stock greenswitch")],
        {"events": EVENTS, "headers": HEADERS, "bytes_json": len(_event(1, "json")), "rounds": ROUNDS},
    )


def measure(reader: str, events: int) -> float:
    """Events per CPU second of one reader (``ours`` or ``greenswitch``) in a fresh process, with a fresh server.

    RuntimeError when it did not handle every event exactly once.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        server = subprocess.Popen(
            [sys.executable, "-m", "bench.esl", "serve", str(listener.fileno()), str(events)], pass_fds=[listener.fileno()]
        )
        try:
            done = subprocess.run(
                [sys.executable, "-m", "bench.esl", reader, str(port), str(events)],
                capture_output=True, text=True, timeout=_LIMIT_S, check=True,
            )  # fmt: skip
        finally:
            server.kill()
            server.wait()
    result = json.loads(done.stdout)
    if result["count"] != events or result["sum"] != events * (events + 1) // 2:
        raise RuntimeError(f"{reader} lost events: {result}")
    return float(result["count"] / result["seconds"])


# --- the stream -------------------------------------------------------------------------------------------------------


def _headers(number: int) -> dict[str, str]:
    call = f"{number // len(_NAMES):08x}-b3b0-45b8-9a25-5ed3751b75dc"
    headers = {
        "Event-Name": _NAMES[number % len(_NAMES)],
        "Core-UUID": _CORE,
        "Event-Sequence": str(number),
        "Event-Date-Timestamp": str(1_795_217_438_734_398 + number),
        "Unique-ID": call,
        "Caller-Destination-Number": "+14155550110",
        "Event-Date-Local": "2026-11-21 00:49:59",
        "variable_sip_contact_uri": f"sip:carrier@127.0.0.1:5071;call={call}",
    }
    for index in range(HEADERS - len(headers)):
        headers[f"variable_measured_header_{index}"] = f"value {index} of {call}"[:22]
    return headers


def _event(number: int, form: str) -> bytes:
    headers = _headers(number)
    if form == "json":
        body = json.dumps(headers, separators=(",", ":")).encode()
    else:
        body = "".join(f"{name}: {quote(value)}\n" for name, value in headers.items()).encode() + b"\n"
    return b"Content-Length: %d\nContent-Type: text/event-%s\n\n" % (len(body), form.encode()) + body


def serve(listener: socket.socket, events: int) -> None:
    """One client: say yes to everything, and when it is quiet after subscribing, send every event."""
    client, _ = listener.accept()
    client.sendall(b"Content-Type: auth/request\n\n")
    form, buffer = "", b""
    while True:
        if form and not select.select([client], [], [], 0.3)[0]:
            break
        data = client.recv(65536)
        if not data:
            return
        *commands, buffer = (buffer + data).split(b"\n\n")
        for command in commands:
            words = command.decode().split()
            if words[0] == "event":
                form = words[1]
            if words[0] == "api":
                client.sendall(b"Content-Type: api/response\nContent-Length: %d\n\n%s" % (len(_CORE), _CORE.encode()))
            else:
                client.sendall(b"Content-Type: command/reply\nReply-Text: +OK accepted\n\n")
    # Made before the first is sent: the reader is measured, not this process.
    stream = [_event(number, form) for number in range(1, events + 1)]
    for start in range(0, events, 200):
        client.sendall(b"".join(stream[start : start + 200]))
    while client.recv(65536):
        pass


# --- the readers ------------------------------------------------------------------------------------------------------


class Tally:
    """The handler of both readers: touches three headers, adds up, and stops the clock at the last event.

    The clock begins before the stream does: a reader may decode much before its first event is handled.
    """

    def __init__(self, events: int) -> None:
        self.events = events
        self.count = 0
        self.sum = 0
        self.began = time.process_time()
        self.seconds = 0.0

    def take(self, headers: dict[str, str]) -> None:
        if headers["Event-Name"] and headers["Unique-ID"]:
            self.count += 1
            self.sum += int(headers["Event-Sequence"])
        if self.count == self.events:
            self.seconds = time.process_time() - self.began


def read_ours(port: int, tally: Tally) -> None:
    import gevent

    from controller.esl import EslLink
    from settings import Settings

    settings = Settings.model_validate(
        {"esl_host": "127.0.0.1", "esl_port": port, "esl_password": _PASSWORD, "esl_ping_interval_s": 600.0}
    )
    link = EslLink(settings, role="events")
    link.on_event(tally.take)  # type: ignore[arg-type]  # this stream holds texts alone
    link.connect()
    tally.began = time.process_time()
    while not tally.seconds:
        gevent.sleep(0.01)
    link.stop()


def read_greenswitch(port: int, tally: Tally) -> None:
    import gevent
    from greenswitch import InboundESL

    client = InboundESL("127.0.0.1", port, _PASSWORD)
    client.register_handle("*", lambda event: tally.take(event.headers))
    client.connect()
    tally.began = time.process_time()
    client.send("event plain ALL")
    while not tally.seconds:
        gevent.sleep(0.01)


def _child(role: str, argument: str, events: int) -> None:
    if role == "serve":
        serve(socket.socket(fileno=int(argument)), events)
        return
    tally = Tally(events)
    (read_ours if role == "ours" else read_greenswitch)(int(argument), tally)
    print(json.dumps({"count": tally.count, "sum": tally.sum, "seconds": tally.seconds}), flush=True)


if __name__ == "__main__":
    _child(sys.argv[1], sys.argv[2], int(sys.argv[3]))
