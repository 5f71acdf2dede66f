"""The options of trunkline carriers set that say how a carrier wants to be spoken to in SIP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click

from trunkline.cli.common import TEXT_OR_NONE, OrNone

FORMATS = click.Choice(["plus", "double_zero", "digits", "national"])

_OPTIONS = (
    click.option("--auth", type=click.Choice(["ip", "digest"]), help="digest: each INVITE goes twice, and costs 2"),
    click.option("--username", type=TEXT_OR_NONE, help="our name there: Contact, OPTIONS, and digest"),
    click.option("--realm", type=TEXT_OR_NONE, help="digest: the realm it asks in"),
    click.option("--secret-env", type=TEXT_OR_NONE, help="digest: NAME of the controllers' variable with the password"),
    click.option("--from-user", type=TEXT_OR_NONE, help="user in From where the caller id is not (--no-caller-in-from)"),
    click.option("--from-domain", type=TEXT_OR_NONE, help="domain in From and of the caller id"),
    click.option("--caller-in-from/--no-caller-in-from", default=None, help="whether From carries the caller id"),
    click.option("--caller-header", type=click.Choice(["pai", "ppi", "rpid", "none"]), help="what else carries it"),
    click.option("--privacy", type=click.Choice(["off", "none", "id"]), help="Privacy header; id: the caller is withheld"),
    click.option("--number-format", type=FORMATS, help="of the dialed number: +49.., 0049.., 49.., 0.."),
    click.option("--caller-format", type=FORMATS, help="of the caller id"),
    click.option("--country-code", type=TEXT_OR_NONE, help="national: whose numbers are written nationally, such as 49"),
    click.option("--national-prefix", help="national: before a number of that country; '' for none"),
    click.option("--international-prefix", help="national and double_zero: before a country code"),
    click.option("--tech-prefix", help="before every dialed number; '' for none"),
    click.option("--codecs", help="in the order in which they are offered: PCMA,PCMU"),
    click.option("--transport", type=click.Choice(["udp", "tcp", "tls"])),
    click.option("--ping", "ping_s", type=OrNone(click.IntRange(5, 3600)), help="s; between OPTIONS; none: never"),
    click.option("--ring", "ring_s", type=OrNone(click.IntRange(5, 120)), help="s; longest ring time; none: the call's own"),
    click.option("--media-timeout", "media_timeout_s", type=click.IntRange(10, 3600), help="s; without audio: hung up"),
    click.option("--reject", "rejects", multiple=True, help="CODE:CLASS:TEXT, one each; replaces all; none"),
)


def sip_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds them to a command, in this order."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def read(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options by their fields: lists are lists. Errors: ``ValueError`` naming the option."""
    from calls.reject_texts import parse

    read = {name: value for name, value in options.items() if name not in ("codecs", "rejects")}
    if options["codecs"] is not None:
        read["codecs"] = [name.strip().upper() for name in options["codecs"].split(",")]
    if options["rejects"]:
        read["reject_texts"] = [] if options["rejects"] == ("none",) else parse(options["rejects"])
    return read
