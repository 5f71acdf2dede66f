"""The same calls by UDP, TCP and TLS, on the FreeSWITCH of FREESWITCH_ESL (docs/real-freeswitch.md).

    python -m tests.system.measure_transports certificates DIR     # before the switch is started with FREESWITCH_TLS=true
    FREESWITCH_ESL=... FREESWITCH_PASSWORD=... FREESWITCH_GATEWAY_DIR=... python -m tests.system.measure_transports DIR

The first writes the carrier's certificate and, as agent.pem and cafile.pem (FREESWITCH_TLS_CERT_DIR), the switch's. The
second gives a carrier one transport after the other, applies it, and places a call of each kind; the carrier's log says by
what each INVITE came. Exit status 1 when a call ended otherwise, or came by another transport.
"""

from __future__ import annotations

import sys
from pathlib import Path

import trustme

from lab.judge import read_log
from store import trunks
from tests.contract.ends import ENDINGS
from tests.system.conftest import CHECKOUT
from tests.system.house import House
from tests.system.test_gateway_edit import given_switch
from trunkline.stack import LabCarrier, Route, Stack

#: Ends by the callee, by a refusal, by our CANCEL, by our BYE.
OUTCOMES = ("answered_hangup", "busy", "no_answer", "no_18x")
TRANSPORTS = ("udp", "tcp", "tls")


def certificates(where: Path) -> None:
    """A CA of its own, what it signed for the carrier and for the switch."""
    where.mkdir(parents=True, exist_ok=True)
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(where / "cafile.pem"))
    for name in ("carrier.pem", "agent.pem"):
        ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(where / name))
        (where / name).chmod(0o600)


def measure(where: Path) -> int:
    """0: every call by every transport went as it must."""
    labs = [
        LabCarrier("by_udp", 10, 10),
        LabCarrier("by_tcp", 10, 10, options=("--stream tcp",)),
        LabCarrier("by_tls", 10, 10, options=(f"--stream tls --certificate {where / 'carrier.pem'}",)),
    ]
    routes = [Route(lab.name.replace("_", "-"), (f"1{area}",), (lab.name,)) for lab, area in zip(labs, AREAS, strict=True)]
    wrong = 0
    with Stack(CHECKOUT, labs, routes, private=True, switch=given_switch()) as stack:
        house = House(stack)
        for lab, transport in zip(labs, TRANSPORTS, strict=True):
            trunks.update(stack.db, lab.name, transport=transport)
        stack.apply_carriers()
        for lab, area, transport in zip(labs, AREAS, TRANSPORTS, strict=True):
            for outcome in OUTCOMES:
                order = house.order(ENDINGS[outcome].digits, area=area, ring_timeout_s=5, max_duration_s=10)
                call = house.insist(*order)
                house.wait_ended([call])
                seen = house.see(call)
                got, want = (seen["status"], seen["sip_code"], seen["end_reason"]), ENDINGS[outcome].row[:3]
                came = {r.get("transport") for r in read_log(stack.arrivals(lab.name)) if r["k"] == "invite"}
                right = got == want and came == {transport}
                wrong += not right
                print(
                    f"{transport}  {outcome}: {got}, INVITE by {came}{'' if right else f'   WRONG: want {want}'}", flush=True
                )
    return 1 if wrong else 0


AREAS = ("212", "213", "214")


def main() -> int:
    if len(sys.argv) == 3 and sys.argv[1] == "certificates":
        certificates(Path(sys.argv[2]))
        return 0
    return measure(Path(sys.argv[1]))


if __name__ == "__main__":
    sys.exit(main())
