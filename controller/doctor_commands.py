"""Questions about how the switch is set up. Nothing here changes anything at it."""

from __future__ import annotations

import ipaddress

from controller.esl_wire import Command, CommandError, command, matcher

_module = matcher(r"mod_[a-z0-9_]{1,40}", "mod_ and lower-case letters")
_list = matcher(r"[a-z0-9_.-]{1,40}", "a list of acl.conf.xml")
_profile = matcher(r"[A-Za-z0-9_-]{1,32}", "a SIP profile's name")


def module_exists(module: str) -> Command:
    """``true`` or ``false``: whether it is loaded."""
    return command("module_exists", f"api module_exists {_module('module', module)}")


def acl(address: str, name: str) -> Command:
    """``true`` or ``false``: whether the list of that name allows the address. A list that is missing allows nothing."""
    try:
        literal = ipaddress.ip_address(address)
    except ValueError as error:
        raise CommandError("address: give a literal IP address") from error
    return command("acl", f"api acl {literal.compressed} {_list('name', name)}")


def epoch() -> Command:
    """The switch's clock: whole seconds since 1970."""
    return command("strepoch", "api strepoch")


def profile_status(profile: str) -> Command:
    """What a SIP profile runs with, as XML; ``Invalid Profile!``."""
    return command("profile_status", f"api sofia xmlstatus profile {_profile('profile', profile)}")
