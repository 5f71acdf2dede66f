"""Gateways as the XML that a telecom engineer reads and FreeSWITCH loads. Pure: the same versions give the same bytes.

A file a gateway; it never changes, because another parameter is another version and another name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from calls.trunk import GATEWAY_PARAMS, literal_address
from store.gateways import Version

#: The first line of every file that is ours; what does not begin so is never touched.
MARK = "<!-- Written by trunkline carriers apply. A change here is undone by the next one; see docs/carriers.md. -->"
#: Of the file with the addresses that may call, under the directory of the gateways.
ACL_FILE = "acl/carriers.xml"

_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;", "$": "&#36;"})


class SecretMissing(ValueError):
    """The environment has no password under that name, or one that cannot be written."""


@dataclass(frozen=True, slots=True)
class File:
    """``name`` relative to the directory; ``secret``: it holds a password, so nobody else may read it."""

    name: str
    text: str = field(repr=False)
    secret: bool = False

    @property
    def mode(self) -> int:
        return 0o600 if self.secret else 0o644


def quoted(text: str) -> str:
    """As an attribute's value. The dollar sign too: the switch replaces $${...} before it is XML."""
    return f'"{text.translate(_ENTITIES)}"'


def gateway_file(version: Version, secrets: Mapping[str, str] | None) -> File:
    """The file of one gateway. ``secrets``: the environment; None: the password is left out, with a word in its place.

    Errors: SecretMissing naming the variable, never its value.
    """
    lines = [MARK, "<include>", f"  <gateway name={quoted(version.gateway)}>"]
    for name in sorted(version.params, key=GATEWAY_PARAMS.index):  # a row keeps no order
        lines.append(f"    <param name={quoted(name)} value={quoted(version.params[name])}/>")
    if version.secret_env is not None and secrets is None:
        lines.append(f"    <!-- password: from {version.secret_env} of the controller's environment -->")
    elif version.secret_env is not None:
        assert secrets is not None
        lines.append(f'    <param name="password" value={quoted(_password(version.secret_env, secrets))}/>')
    lines += ["  </gateway>", "</include>", ""]
    return File(f"{version.gateway}.xml", "\n".join(lines), secret=version.secret_env is not None and secrets is not None)


def _password(name: str, secrets: Mapping[str, str]) -> str:
    value = secrets.get(name, "")
    if not value:
        raise SecretMissing(f"{name} is not set in the environment of the controller")
    if len(value) > 128 or not value.isascii() or not value.isprintable():
        raise SecretMissing(f"{name}: a password is 1 to 128 printable ASCII characters")
    return value


def acl_file(versions: Iterable[Version]) -> File:
    """The addresses of all these gateways as nodes of the list that may call (acl.conf.xml includes it)."""
    lines = [MARK, "<include>"]
    for network in sorted({allowed(version) for version in versions}):
        lines.append(f'  <node type="allow" cidr="{network}"/>')
    return File(ACL_FILE, "\n".join([*lines, "</include>", ""]))


def allowed(version: Version) -> str:
    """The one address of a gateway, as a network."""
    host, _ = literal_address(version.params["proxy"])
    return f"{host}/{host.max_prefixlen}"
