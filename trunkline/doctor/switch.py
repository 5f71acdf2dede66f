"""The switch beside us: version, modules, limits, password, who may reach its event socket."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping

from controller.relay.permission import denied
from trunkline.doctor.finding import Finding, fail, ok, warn

OLDEST, ADVISED = (1, 10), (1, 11, 2)
#: Mended in 1.11.1 and 1.11.2.
CVES = "CVE-2026-116779 (a SIP MESSAGE runs commands), CVE-2026-49840 (event socket clients), CVE-2026-116790 (ICE)"
#: Without the first nothing works; without the others something we promise does not.
NEEDED = {
    "mod_commands": "nothing can be dialed",
    "mod_event_socket": "nobody can command it",
    "mod_sofia": "there is no SIP",
    "mod_dptools": "there is no dialplan",
    "mod_dialplan_xml": "there is no dialplan",
    "mod_hash": "no tombstone is kept: after a crash nobody can prove that a call was never sent",
    "mod_sndfile": "no audio file can be played",
    "mod_audio_fork": "no agent hears the callee",
    "mod_json_cdr": "the second witness of each call is missing",
}
#: Ways in that were used by others: module -> what is known of it.
UNWANTED = {
    "mod_xml_rpc": "CVE-2018-19911 and CVE-2026-116785: commands over HTTP",
    "mod_verto": "CVE-2026-49841: a WebSocket that strangers reach",
    "mod_sms": "chat protocols; CVE-2026-116779 came in by one",
    "mod_rtmp": "an old protocol on an open port",
    "mod_skinny": "phones register with it; carriers do not",
}
PUBLIC_PASSWORD = "ClueCon"  # noqa: S105 - the one that everybody knows, tried to see that it is refused
PASSWORD_LEAST = 16

_VERSION = re.compile(r"Version (\d+)\.(\d+)(?:\.(\d+))?")
_SESSIONS = re.compile(r"^(\d+) session\(s\) max", re.MULTILINE)
_RATE = re.compile(r"out of max (\d+)")


def judge_version(about: str, said: str) -> list[Finding]:
    """``said``: the reply to ``version``."""
    found = _VERSION.search(said)
    if found is None:
        return [warn(about, f"does not tell its version: {said.strip()[:80]!r}", "see what 'fs_cli -x version' says")]
    version = tuple(int(part or 0) for part in found.groups())
    text = ".".join(map(str, version))
    if version < OLDEST:
        return [fail(about, f"FreeSWITCH {text}", "1.10 or newer is needed; 1.11.2 or newer is advised")]
    if version < ADVISED:
        what = f"says it is FreeSWITCH {text}; before 1.11.2: {CVES}"
        remedy = "upgrade to 1.11.2 or newer (a build from source may say an older number than it is: then this is no fault)"
        return [warn(about, what, remedy)]
    return [ok(about, f"FreeSWITCH {text}")]


def judge_modules(about: str, loaded: Mapping[str, bool]) -> list[Finding]:
    """``loaded``: of each module of NEEDED and UNWANTED whether it is."""
    found = [
        fail(about, f"{module} is not loaded: {why}", f"load {module} in autoload_configs/modules.conf.xml")
        for module, why in NEEDED.items()
        if not loaded[module]
    ]
    found += [
        warn(about, f"{module} is loaded: {why}", f"remove {module} from autoload_configs/modules.conf.xml")
        for module, why in UNWANTED.items()
        if loaded[module]
    ]
    return found or [ok(about, f"{len(NEEDED)} modules needed, all loaded; none of {len(UNWANTED)} unwanted")]


def judge_limits(about: str, status: str, channels: int, cps: float) -> list[Finding]:
    """``status``: the reply to ``status``. ``channels``, ``cps``: what all carriers together may be asked for."""
    sessions, rate = _SESSIONS.search(status), _RATE.search(status)
    if sessions is None or rate is None:
        return [warn(about, "does not tell its limits", "see what 'fs_cli -x status' says")]
    found = []
    if int(sessions[1]) <= channels:
        what = f"max-sessions {sessions[1]} is not above the {channels} channels of the carriers"
        found.append(warn(about, what, "raise FREESWITCH_MAX_SESSIONS: a fuse, not the limit; it refuses without an INVITE"))
    # It counts every leg and admits one fewer than it says.
    if int(rate[1]) <= cps + 1:
        what = f"sessions-per-second {rate[1]} is not above the {cps:g} CPS of the carriers"
        found.append(warn(about, what, "raise FREESWITCH_MAX_CPS: a fuse, not the limit; it refuses without an INVITE"))
    return found or [ok(about, f"a fuse of {sessions[1]} sessions, {rate[1]} a second, above {channels} and {cps:g}")]


def judge_idle(about: str, said: str) -> list[Finding]:
    """``said``: what the switch sends while nothing plays; an agent's voice is mixed into that."""
    if said.strip().lstrip("-").isdecimal() and int(said) != 0:
        return [ok(about, "sends audio all the time")]
    what = "sends nothing while nothing plays: no callee hears an agent"
    return [fail(about, what, "FREESWITCH_IDLE_NOISE: -1, or 400 for noise; not 0. A restart of the switch")]


def judge_voice(about: str, said: str) -> list[Finding]:
    """``said``: the reply to :func:`controller.relay.permission.question`, asked as the relay's user."""
    if (why := denied(said)) is None:
        return [ok(about, "lets the relay begin with an agent's voice")]
    remedy = (
        "uuid_displace in esl-allowed-api of the relay's user and in switch.conf.xml's interface-allowlist (freeswitch/conf)"
    )
    return [fail(about, f"lets no agent be heard: {why}", f"{remedy}. A restart of the switch")]


def judge_password(about: str, password: str, *, public_accepted: bool) -> list[Finding]:
    """``public_accepted``: whether a login by the password that everybody knows was let in."""
    remedy = "FREESWITCH_ESL_PASSWORD and TRUNKLINE_ESL_PASSWORD: 16 characters or more, by chance (openssl rand -hex 16)"
    if public_accepted:
        return [fail(about, "its event socket lets in whoever says the default password", remedy)]
    if len(password) < PASSWORD_LEAST:
        return [warn(about, f"the event socket's password has {len(password)} characters", remedy)]
    return [ok(about, "the default password is refused")]


def judge_listeners(about: str, listeners: Iterable[str], port: int) -> list[Finding]:
    """``listeners``: local addresses that this machine listens on at the event socket's port."""
    open_to = sorted(one for one in listeners if not ipaddress.ip_address(one).is_loopback)
    if not open_to:
        return []
    what = f"its event socket listens on {', '.join(open_to)} port {port}: whoever gets in runs commands here"
    return [fail(about, what, "listen-ip 127.0.0.1 in autoload_configs/event_socket.conf.xml")]
