"""One sofia profile: its UDP socket, its gateways with OPTIONS pings, and the legs behind Call-IDs."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lab.sip import message as sip
from lab.sip.udp import Address, UdpEndpoint
from lab.switch import gateway_files
from lab.switch.config import GatewayConfig, SwitchConfig
from lab.switch.events import Calling, Pairs
from lab.switch.inbound import InboundLeg
from lab.switch.leg import InviteLeg

if TYPE_CHECKING:
    from lab.switch.core import Switch


@dataclass(slots=True, eq=False)
class Gateway:
    """`up` is the ping status; a gateway without pings stays as it was set."""

    config: GatewayConfig
    profile: SofiaProfile
    up: bool = True
    since: float = field(default_factory=time.monotonic)
    ping_ms: float = 0.0
    calls_out: int = 0
    failed_out: int = 0
    calls_in: int = 0
    failed_in: int = 0
    _timer: asyncio.TimerHandle | None = None
    _asked: float = 0.0
    _branch: str = ""

    @property
    def contact(self) -> str:
        name = self.config.name
        return f"<sip:gw+{name}@{self.profile.host}:{self.profile.port};transport=udp;gw={name}>"

    def start(self) -> None:
        self.up = not self.config.down
        if self.config.ping_s > 0:
            self._timer = self.profile.loop.call_later(min(1.0, self.config.ping_s), self._ping)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ping(self) -> None:
        self._branch = sip.new_branch()
        host, port = self.config.host, self.config.port
        headers = [
            ("Via", f"SIP/2.0/UDP {self.profile.host}:{self.profile.port};rport;branch={self._branch}"),
            ("Max-Forwards", "70"),
            ("From", f"<sip:{self.config.user}@{host}:{port}>;tag={sip.new_tag()}"),
            ("To", f"<sip:{self.config.user}@{host}:{port}>"),
            ("Call-ID", sip.new_branch()),
            ("CSeq", "1 OPTIONS"),
            ("Contact", self.contact),
        ]
        self._asked = time.monotonic()
        self.profile.pings[self._branch] = self
        if not self.config.foreign:
            self.profile.endpoint.send(sip.build(f"OPTIONS sip:{host}:{port} SIP/2.0", headers), (host, port))
        patience = min(self.profile.config.t1x64_s, self.config.ping_s)
        self._timer = self.profile.loop.call_later(patience, self._ping_lost, max(0.0, self.config.ping_s - patience))

    def _ping_lost(self, rest: float) -> None:
        self.profile.pings.pop(self._branch, None)
        self.set_up(False, 408)
        self._timer = self.profile.loop.call_later(rest, self._ping)

    def on_pong(self, message: sip.SipMessage) -> None:
        self.ping_ms = (time.monotonic() - self._asked) * 1000
        self.set_up(message.status not in (408, 503), message.status)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.profile.loop.call_later(self.config.ping_s, self._ping)

    def set_up(self, up: bool, status: int) -> None:
        """Change the ping status and tell of it by sofia::gateway_state."""
        if up == self.up:
            return
        self.up = up
        self.since = time.monotonic()

        def build() -> Pairs:
            return [
                ("Gateway", self.config.name),
                ("State", "NOREG"),
                ("Ping-Status", "UP" if up else "DOWN"),
                ("Status", str(status)),
            ]

        self.profile.switch.bus.fire(
            "CUSTOM",
            build,
            subclass="sofia::gateway_state",
            calling=Calling("sofia_reg.c", "sofia_reg_fire_custom_gateway_state_event", 156),
        )


class SofiaProfile:
    """The SIP side of the switch."""

    def __init__(self, switch: Switch) -> None:
        self.switch: Switch = switch
        self.config: SwitchConfig = switch.config
        self.name = switch.config.profile
        self.endpoint = UdpEndpoint(switch.config.sip_host, switch.config.sip_port, self._received)
        self.host, self.port = self.endpoint.address
        self.loop: asyncio.AbstractEventLoop
        self.transactions: dict[str, InviteLeg] = {}
        self.legs: dict[str, InviteLeg | InboundLeg] = {}
        self.pings: dict[str, Gateway] = {}
        self._acks: dict[str, tuple[bytes, Address]] = {}  # by branch: the ACK of a refused INVITE
        self.gateways: dict[str, Gateway] = {g.name: Gateway(g, self) for g in switch.config.gateways}

    @property
    def address(self) -> Address:
        return self.endpoint.address

    def start(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.endpoint.start()
        for gateway in self.gateways.values():
            gateway.start()
        self.rescan()
        self.reload_acl()

    def rescan(self) -> None:
        """Load the gateways that are new in the directory; what is loaded stays as it is."""
        if self.config.gateway_dir is not None:
            for config in gateway_files.read_gateways(self.config.gateway_dir):
                if config.name not in self.gateways:
                    self.add_gateway(config)

    def reload_acl(self) -> None:
        if self.config.gateway_dir is not None:
            networks = gateway_files.read_allowed(self.config.gateway_dir)
            self.config.acl["carriers"] = tuple(map(str, networks))

    def close(self) -> None:
        for gateway in self.gateways.values():
            gateway.stop()
        for leg in list(self.legs.values()):
            leg.finish()
        for transaction in list(self.transactions.values()):
            transaction.finish()
        self.endpoint.close()

    def add_gateway(self, config: GatewayConfig) -> None:
        """`rescan` found a new one: sofia::gateway_add."""
        gateway = self.gateways[config.name] = Gateway(config, self)
        gateway.start()
        self._tell("sofia::gateway_add", config.name)

    def kill_gateway(self, name: str) -> bool:
        gateway = self.gateways.pop(name, None)
        if gateway is None:
            return False
        gateway.stop()
        self._tell("sofia::gateway_delete", name)
        return True

    def _tell(self, subclass: str, gateway: str) -> None:
        self.switch.bus.fire(
            "CUSTOM",
            lambda: [("profile-name", self.name), ("Gateway", gateway)],
            subclass=subclass,
            calling=Calling("sofia_glue.c", "sofia_glue_add_gateway", 2310),
        )

    def _received(self, data: bytes, peer: Address, _stamp: int) -> None:
        try:
            message = sip.parse(data)
        except (sip.SipError, ValueError):
            return
        if message.status:
            branch = message.branch
            leg = self.transactions.get(branch)
            if leg is None:
                known = self.legs.get(message.call_id)
                # A repeated 200 after our ACK was lost still belongs to its dialog.
                leg = known if isinstance(known, InviteLeg) else None
            if leg is not None:
                leg.on_response(message)
            elif message.status >= 300 and message.cseq[1] == "INVITE" and branch in self._acks:
                self.endpoint.send(*self._acks[branch])
            elif (gateway := self.pings.pop(branch, None)) is not None:
                gateway.on_pong(message)
            return
        self._request(message, peer)

    def acknowledge(self, branch: str, ack: bytes, target: Address) -> None:
        """Send the ACK of a refusal, and again for each repetition of it: the first may be lost (timer D)."""
        self._acks[branch] = (ack, target)
        self.loop.call_later(self.config.t1x64_s, self._acks.pop, branch, None)
        self.endpoint.send(ack, target)

    def _request(self, message: sip.SipMessage, peer: Address) -> None:
        leg = self.legs.get(message.call_id)
        method = message.method
        if method == "ACK":
            if isinstance(leg, InboundLeg):
                leg.on_ack()
            return
        if method == "BYE" and leg is not None:
            leg.on_bye(message, peer)
        elif method == "OPTIONS" or (method in ("INFO", "UPDATE", "NOTIFY") and leg is not None):
            self.endpoint.send(sip.respond(message, 200, "OK", to_tag=sip.new_tag()), peer)
        elif method == "INVITE" and leg is None and self.config.inbound:
            InboundLeg(self, message, peer).start()
        elif method == "INVITE" and isinstance(leg, InboundLeg):
            leg.repeat()
        elif method == "INVITE" and isinstance(leg, InviteLeg) and leg.answered:
            leg.on_reinvite(message, peer)
        elif method == "CANCEL" and isinstance(leg, InboundLeg):
            leg.on_cancel(message, peer)
        elif method == "CANCEL" and leg is not None:
            self.endpoint.send(sip.respond(message, 200, "OK"), peer)
        else:
            self.endpoint.send(sip.respond(message, 481, "Call Does Not Exist", to_tag=sip.new_tag()), peer)
