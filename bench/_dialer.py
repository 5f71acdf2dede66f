"""``python -m bench._dialer JSON``: one dialer of bench/pacing.py, which tells what it did in one line of JSON.

It asks a limiter for permission as long as there is demand and sends a datagram to the sink for each. Its wall clock may be
wrong by `skew_s`; demand is timed by the monotonic clock, which is one for all processes of a machine.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True)
class Order:
    """What a dialer is to do. `begin`: CLOCK_MONOTONIC. `phases`: seconds with demand and without, in turns, repeated."""

    limiter: str
    name: str
    redis: str
    rate: int
    sink: tuple[str, int]
    begin: float
    seconds: float
    phases: tuple[float, ...]
    busy_s: float  # how long each call keeps a dialer
    skew_s: float
    pause_s: float  # a standstill longer than this is told
    settings: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Tale:
    """What it did: requests, permissions, unused ones, datagrams; its longest standstill meanwhile (s; 0: none over the
    limit).
    """

    asked: int
    granted: int
    burned: int
    sent: int
    longest_pause_s: float


def skew_wall_clock(by_s: float) -> None:
    """From now on this process's wall clock is wrong; to be called before anybody imports its functions by name."""
    real, real_ns = time.time, time.time_ns
    time.time = lambda: real() + by_s
    time.time_ns = lambda: real_ns() + int(by_s * 1e9)


def no_demand_for(phases: tuple[float, ...], passed_s: float) -> float:
    """s until there is demand, 0 when there is. `phases`: with demand, without, with ...; they repeat."""
    passed_s %= sum(phases)
    for index, length in enumerate(phases):
        if passed_s < length:
            return (length - passed_s) * (index % 2)
        passed_s -= length
    return 0.0


def work(order: Order) -> Tale:
    """Until the time is over."""
    if order.skew_s:
        skew_wall_clock(order.skew_s)
    # After the clock is wrong, as on a machine whose clock is wrong.
    from bench import _limiters
    from lab.canary import Canary, run_before_others
    from lab.sink import datagram
    from settings import Settings

    if order.limiter == _limiters.OURS:
        settings = Settings.model_validate({"redis_url": order.redis, **order.settings})
        limiter: _limiters.Limiter = _limiters.Ours(settings, order.name)
    else:
        limiter = _limiters.LIBRARIES[order.limiter](order.redis, order.rate)
    sent = 0
    with socket.socket(type=socket.SOCK_DGRAM) as wire:
        wire.connect(order.sink)

        def send(call_id: str) -> None:
            nonlocal sent
            wire.send(datagram(call_id, order.name))
            sent += 1
            time.sleep(order.busy_s)

        run_before_others()
        time.sleep(max(0.0, order.begin - time.monotonic()))
        end = order.begin + order.seconds
        with Canary(order.pause_s) as canary:
            while (now := time.monotonic()) < end:
                wait = no_demand_for(order.phases, now - order.begin)
                if wait > 0:
                    time.sleep(min(wait, end - now))
                else:
                    limiter.turn(send)
    return Tale(limiter.asked, limiter.granted, limiter.burned, sent, canary.longest_s(order.begin, end))


def main() -> None:
    order = json.loads(sys.argv[1])
    order["sink"], order["phases"] = tuple(order["sink"]), tuple(order["phases"])
    print(json.dumps(asdict(work(Order(**order)))))


if __name__ == "__main__":
    main()
