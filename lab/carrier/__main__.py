"""`python -m lab.carrier --name a --listen 127.0.0.1:0 --channels 20 --cps 5 --log a.jsonl --seed 1 --mix ...`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from lab.canary import run_before_others
from lab.carrier.outcomes import Mix, parse_mix, parse_range
from lab.carrier.server import Carrier, CarrierConfig
from lab.runner import announce, parse_address, run, until_signal


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m lab.carrier", description=__doc__)
    parser.add_argument("--name", default="carrier")
    parser.add_argument("--listen", default="127.0.0.1:0", help="HOST:PORT, port 0 picks a free one")
    parser.add_argument("--channels", type=int, default=0, help="simultaneous calls, 0 = unlimited")
    parser.add_argument("--cps", type=int, default=0, help="INVITEs admitted in any second, 0 = unlimited")
    parser.add_argument("--log", type=Path, help="raw arrival log (JSON lines, appended)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--mix", default="answered_hangup=1", help="outcome=weight,... for numbers without magic")
    parser.add_argument("--ring", default="0.4", help="LOW:HIGH seconds of ringing in the mix")
    parser.add_argument("--talk", default="3", help="LOW:HIGH seconds until the callee hangs up, in the mix")
    parser.add_argument(
        "--speech", help="silent | bursts | echo | tone:HZ | beeps:HZ | machine for answered calls of the mix"
    )
    parser.add_argument("--no-magic", action="store_true", help="ignore the table of magic numbers")
    parser.add_argument("--time-scale", type=float, default=1.0, help="stretch every time of an outcome")
    parser.add_argument("--challenge", action="store_true", help="ask digest credentials for every INVITE")
    parser.add_argument("--user", default="a")
    parser.add_argument("--password-env", help="environment variable with the digest password")
    parser.add_argument("--record-dir", type=Path, help="write what callees hear over real RTP there")
    parser.add_argument("--loss", type=float, default=0.0, help="share of SIP datagrams lost each way, 0 to below 1")
    parser.add_argument("--stream", choices=("tcp", "tls"), help="take connections as well, at the same port number")
    parser.add_argument("--certificate", type=Path, help="key and certificate chain in one file, for --stream tls")
    parser.add_argument("--max-ring", type=float, default=180.0, help="seconds until an unanswered call gets 480")
    parser.add_argument("--before-others", action="store_true", help="real-time priority, where it can be had")
    parser.add_argument("--max-call", type=float, default=3600.0, help="seconds until the carrier ends a call")
    return parser.parse_args(argv)


def config_from(argv: list[str] | None) -> CarrierConfig:
    """Raises SystemExit with the field named when an argument is wrong."""
    args = _arguments(argv)
    if args.before_others:
        run_before_others()
    try:
        host, port = parse_address(args.listen)
        mix = Mix(
            seed=args.seed,
            weights=parse_mix(args.mix),
            ring=parse_range(args.ring, "--ring"),
            talk=parse_range(args.talk, "--talk"),
            speech=args.speech,
            magic=not args.no_magic,
            time_scale=args.time_scale,
        )
        if not 0 <= args.loss < 1:
            raise ValueError(f"--loss: give a share from 0 to below 1, not {args.loss:g}")
        if args.stream == "tls" and args.certificate is None:
            raise ValueError("--certificate: --stream tls needs a file with key and certificate chain")
        password = os.environ[args.password_env] if args.password_env else None
    except (ValueError, KeyError) as error:
        sys.exit(f"lab.carrier: {error}")
    return CarrierConfig(
        name=args.name,
        host=host,
        port=port,
        channels=args.channels,
        cps=args.cps,
        mix=mix,
        log=args.log,
        challenge=args.challenge,
        user=args.user,
        password=password,
        record_dir=args.record_dir,
        max_ring_s=args.max_ring,
        max_call_s=args.max_call,
        loss=args.loss,
        stream=args.stream or "",
        certificate=args.certificate,
    )


def main(argv: list[str] | None = None) -> None:
    config = config_from(argv)

    async def serve() -> None:
        carrier = Carrier(config)
        await carrier.start()
        announce(kind="carrier", name=config.name, sip=f"{carrier.address[0]}:{carrier.address[1]}")
        await until_signal()
        await carrier.stop()

    run(serve)


if __name__ == "__main__":
    main()
