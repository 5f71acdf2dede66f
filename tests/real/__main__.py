"""`python -m tests.real`: see the package."""

from __future__ import annotations

import argparse
import os
import sys
import time

from tests.real.run import place


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.real", description="500 calls over SIP, judged by the carriers.")
    parser.add_argument("--calls", type=int, default=500)
    parser.add_argument("--loss", type=float, default=0.0, help="share of SIP datagrams lost each way")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    began = time.monotonic()
    result = place(args.calls, loss=args.loss, seed=args.seed)
    where = "FreeSWITCH at " + os.environ["FREESWITCH_ESL"] if os.environ.get("FREESWITCH_ESL") else "the simulated switch"
    print(f"{where}, {args.loss:.0%} loss, {time.monotonic() - began:.0f} s")
    print("\n".join(result.lines))
    print("\n".join(f"WRONG: {text}" for text in result.wrong[:40]) or "nothing wrong")
    return 1 if result.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
