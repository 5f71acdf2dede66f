"""`python -m lab.switch --esl 127.0.0.1:0 --gateway carrier_a=127.0.0.1:5090 --heartbeat 20 --seed 1`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import sys
import tempfile
from pathlib import Path

from lab.runner import announce, parse_address, run, until_signal
from lab.switch.config import GatewayConfig, SwitchConfig
from lab.switch.core import Switch
from lab.switch.directory import read_users
from lab.switch.json_cdr import CdrConfig

CRASH_STATUS = 139  # what a shell shows of a segmentation fault


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m lab.switch", description=__doc__)
    parser.add_argument("--esl", default="127.0.0.1:0", help="HOST:PORT of the event socket, port 0 picks a free one")
    parser.add_argument("--sip", default="127.0.0.1:0", help="HOST:PORT of the sofia profile")
    parser.add_argument("--password-env", help="environment variable with the ESL password (else ClueCon)")
    parser.add_argument("--user-password-env", help="environment variable with the password of the users of freeswitch/conf")
    parser.add_argument("--gateway", action="append", default=[], help="NAME=HOST:PORT[,down][,noping][,ping=S]")
    parser.add_argument("--gateway-dir", type=Path, help="directory of gateways as XML, read again by rescan")
    parser.add_argument("--profile", default="carriers")
    parser.add_argument(
        "--dialplan", type=Path, help="XML file with the context inbound; else calls are answered and parked"
    )
    parser.add_argument("--hostname", default="lab")
    parser.add_argument("--heartbeat", type=float, default=20.0, help="seconds, 0 = none")
    parser.add_argument("--sps", type=int, default=200, help="sessions per second")
    parser.add_argument("--max-sessions", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--time-scale", type=float, default=1.0, help="0.5 plays sounds in half their time")
    parser.add_argument("--show-lag", type=float, default=0.6, help="seconds `show channels` lags behind")
    parser.add_argument("--t1x64", type=float, default=6.0, help="seconds until a silent INVITE transaction dies")
    parser.add_argument("--temp-dir", type=Path, default=Path(tempfile.gettempdir()), help="for playAudio files")
    parser.add_argument("--cdr-url", default="", help="where CDRs are posted; none: they are not made")
    parser.add_argument("--cdr-user", default="freeswitch")
    parser.add_argument("--cdr-password-env", help="environment variable with the password of that user")
    parser.add_argument("--cdr-spool", type=Path, help="directory for CDRs that could not be posted (else lost)")
    parser.add_argument("--cdr-retries", type=int, default=2, help="further tries, one second apart")
    parser.add_argument("--rtp", action="store_true", help="legs that it dials speak RTP")
    parser.add_argument("--fault", action="append", default=[], help="NAME=VALUE, see lab/switch/faults.py")
    parser.add_argument("--verbose", action="store_true")
    return parser.parse_args(argv)


def parse_gateway(text: str) -> GatewayConfig:
    """`a=127.0.0.1:5090`, `b=127.0.0.1:5091,down,noping`."""
    name, equals, rest = text.partition("=")
    address, *options = rest.split(",")
    if not equals:
        raise ValueError(f"--gateway: expected NAME=HOST:PORT, got {text!r}")
    host, port = parse_address(address)
    ping = 5.0
    for option in options:
        if option.startswith("ping="):
            ping = float(option[5:])
        elif option not in ("down", "noping"):
            raise ValueError(f"--gateway {name}: unknown option {option!r}; known: down, noping, ping=S")
    noping = "noping" in options or "down" in options
    return GatewayConfig(name, host, port, ping_s=0.0 if noping else ping, down="down" in options)


def config_from(argv: list[str] | None) -> tuple[SwitchConfig, dict[str, float], bool]:
    args = _arguments(argv)
    try:
        host, port = parse_address(args.esl)
        sip_host, sip_port = parse_address(args.sip)
        gateways = [parse_gateway(text) for text in args.gateway]
        faults = {name: float(value) for name, _, value in (text.partition("=") for text in args.fault)}
        password = os.environ[args.password_env] if args.password_env else "ClueCon"
        cdr_password = os.environ[args.cdr_password_env] if args.cdr_password_env else ""
        users = read_users(os.environ[args.user_password_env]) if args.user_password_env else {}
    except KeyError as error:
        sys.exit(f"lab.switch: {error} is not set in the environment")
    except ValueError as error:
        sys.exit(f"lab.switch: {error}")
    config = SwitchConfig(
        host=host,
        esl_port=port,
        password=password,
        users=users,
        sip_host=sip_host,
        sip_port=sip_port,
        profile=args.profile,
        hostname=args.hostname,
        gateways=gateways,
        gateway_dir=args.gateway_dir,
        heartbeat_s=args.heartbeat,
        sessions_per_second=args.sps,
        max_sessions=args.max_sessions,
        seed=args.seed,
        time_scale=args.time_scale,
        show_lag_s=args.show_lag,
        t1x64_s=args.t1x64,
        temp_dir=args.temp_dir,
        dialplan=args.dialplan,
        rtp=args.rtp,
        cdr=CdrConfig(args.cdr_url, args.cdr_user, cdr_password, args.cdr_spool, args.cdr_retries),
    )
    return config, faults, args.verbose


def main(argv: list[str] | None = None) -> None:
    config, faults, verbose = config_from(argv)
    logging.basicConfig(level=logging.DEBUG if verbose else logging.WARNING, stream=sys.stderr)

    async def serve() -> None:
        switch = Switch(config)
        for name, value in faults.items():
            switch.faults.set(name, value)
        await switch.start()
        esl, sip = switch.esl_address, switch.sofia.address
        announce(kind="switch", esl=f"{esl[0]}:{esl[1]}", sip=f"{sip[0]}:{sip[1]}", core_uuid=switch.core_uuid)
        waits = [asyncio.ensure_future(until_signal()), asyncio.ensure_future(switch.crashed.wait())]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        if switch.crashed.is_set():
            os._exit(CRASH_STATUS)
        for wait in waits:
            wait.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await wait
        await switch.hang_up_all("SYSTEM_SHUTDOWN")
        await switch.stop()

    run(serve)


if __name__ == "__main__":
    main()
