"""The commands about gateways and the addresses that may call: what a switch has, and making it load or forget some."""

from __future__ import annotations

from controller.esl_wire import Command, command, matcher

#: The sofia profile towards the carriers, and the list of addresses that may call it (freeswitch/conf).
PROFILE = ACL = "carriers"

gateway_named = matcher(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", "a gateway name: letters, digits, _ and -, at most 64")


def gateway_status(gateway: str) -> Command:
    """State, ping and counters of one gateway, as XML."""
    return command("gateway_status", f"api sofia xmlstatus gateway {gateway_named('gateway', gateway)}")


def gateway_list() -> Command:
    """The same of every gateway of every profile: see gateway_status.read_gateways."""
    return command("gateway_list", "api sofia xmlstatus gateway")


def gateway_rescan() -> Command:
    """Read the configuration again and load the gateways that are new in it. One that is loaded stays as it is.

    In the background: reading it may take longer than an originate behind it may wait.
    """
    return command("gateway_rescan", f"bgapi sofia profile {PROFILE} rescan")


def gateway_kill(gateway: str) -> Command:
    """Forget a gateway at once; calls on it lose what they need to answer a digest challenge, so only at 0 calls."""
    return command("gateway_kill", f"api sofia profile {PROFILE} killgw {gateway_named('gateway', gateway)}")


def acl_reload() -> Command:
    """Read the lists of addresses again; in the background, too."""
    return command("acl_reload", "bgapi reloadacl")
