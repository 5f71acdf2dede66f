"""How the simulated switch is started."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lab.switch.directory import EslUser
from lab.switch.json_cdr import CdrConfig

#: What freeswitch/conf/autoload_configs/modules.conf.xml loads, and the laboratory imitates.
MODULES = frozenset(
    f"mod_{name}"
    for name in (
        *("audio_fork", "commands", "console", "dialplan_xml", "dptools", "event_socket", "hash", "json_cdr", "logfile"),
        *("sndfile", "sofia"),
    )
)


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """A sofia gateway: one carrier endpoint. `ping_s` 0 = never pinged, then it counts as always UP."""

    name: str
    host: str
    port: int
    user: str = "a"
    password: str = "a"
    ping_s: float = 5.0
    down: bool = False
    realm: str = ""
    from_user: str = ""
    from_domain: str = ""
    caller_id_in_from: bool = True

    @property
    def foreign(self) -> bool:
        """It is IPv6, and our profile speaks IPv4: as on a real switch it is loaded, and nothing is ever sent there."""
        return self.host.startswith("[")


@dataclass(slots=True)
class SwitchConfig:
    """Times are seconds. `users`: by `user@domain`, who may log in by `userauth`."""

    host: str = "127.0.0.1"
    esl_port: int = 0
    password: str = "ClueCon"
    users: Mapping[str, EslUser] = field(default_factory=dict)
    sip_host: str = "127.0.0.1"
    sip_port: int = 0
    profile: str = "carriers"
    hostname: str = "lab"
    gateways: list[GatewayConfig] = field(default_factory=list)
    gateway_dir: Path | None = None
    heartbeat_s: float = 20.0
    sessions_per_second: int = 200
    max_sessions: int = 5000
    seed: int = 1
    t1_s: float = 0.5
    t1x64_s: float = 6.0
    # FreeSWITCH's SQL thread shows a channel, and forgets it, this much later.
    show_lag_s: float = 0.6
    originate_poll_s: float = 0.02
    time_scale: float = 1.0
    heard_s: float = 30.0
    # Legs that it dials speak RTP; else the carrier says in words what the callee does.
    rtp: bool = False
    temp_dir: Path = field(default_factory=lambda: Path(tempfile.gettempdir()))
    inbound: bool = True
    # An XML file with the context `inbound`, as a real switch has it; None: as recorded, each call is answered and parked.
    dialplan: Path | None = None
    cdr: CdrConfig = field(default_factory=CdrConfig)
    modules: frozenset[str] = MODULES
    # Network lists: name -> networks that are allowed; everybody else is not.
    acl: dict[str, tuple[str, ...]] = field(default_factory=lambda: {"carriers": ("127.0.0.1/32",)})
