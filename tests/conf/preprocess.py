"""freeswitch/conf as FreeSWITCH reads it: line by line before it is XML, with the environment in place."""

from __future__ import annotations

import glob
import re
import subprocess
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOG_DIR = "/var/log/freeswitch"
CONF = ROOT / "freeswitch" / "conf"
_DIRECTIVE = re.compile(r'<X-PRE-PROCESS cmd="([a-z-]+)" data="([^"]*)"\s*/>')
_VARIABLE = re.compile(r"\$\$\{([^}]+)\}")
_MAX_DEPTH = 20


@dataclass(frozen=True)
class Loaded:
    """``text``: what is parsed; ``root``: as XML; ``variables``: the global ones that are left at the end."""

    text: str
    root: ElementTree.Element
    variables: Mapping[str, str]

    def section(self, name: str) -> ElementTree.Element:
        """One `<configuration>` by its name, without `.conf`."""
        found = self.root.find(f"./section/configuration[@name='{name}.conf']")
        assert found is not None, name
        return found

    def settings(self, name: str) -> dict[str, str]:
        """The params of a configuration's settings."""
        return params(self.section(name), "./settings/param")

    @property
    def profile(self) -> ElementTree.Element:
        """The sofia profile towards the carriers."""
        (found,) = self.section("sofia").iterfind("./profiles/profile")
        assert found.get("name") == "carriers"
        return found


def params(element: ElementTree.Element, path: str) -> dict[str, str]:
    """name -> value; none is written twice."""
    pairs = [(p.get("name", ""), p.get("value", "")) for p in element.iterfind(path)]
    assert len(dict(pairs)) == len(pairs), f"a param twice in {path}: {pairs}"
    return dict(pairs)


def load(environment: Mapping[str, str] | None = None) -> Loaded:
    """As the switch would start with this environment and no other variable of ours."""
    return _load(tuple(sorted((environment or {}).items())))


@lru_cache(maxsize=4)
def _load(environment: tuple[tuple[str, str], ...]) -> Loaded:
    variables = {"conf_dir": str(CONF), "log_dir": LOG_DIR}
    text = "".join(_lines(CONF / "freeswitch.xml", variables, dict(environment), 0))
    return Loaded(text, ElementTree.fromstring(text), variables)


def _lines(file: Path, variables: dict[str, str], environment: dict[str, str], depth: int) -> list[str]:
    assert depth < _MAX_DEPTH, file
    out: list[str] = []
    for line in file.read_text().splitlines(keepends=True):
        if any(word in line for word in ("<include>", "</include>", "<?")):
            continue  # the whole line, whatever else is on it
        line = _VARIABLE.sub(lambda found: variables.get(found[1], ""), line)
        directive = _DIRECTIVE.search(line)
        if directive is None:
            assert "X-PRE-PROCESS" not in line, f"{file}: {line}"
            out.append(line)
        elif directive[1] == "include":
            for name in sorted(glob.glob(str(file.parent / directive[2]))):
                out += _lines(Path(name), variables, environment, depth + 1)
        else:
            _set(directive[1], directive[2], variables, environment)
    return out


def _set(kind: str, data: str, variables: dict[str, str], environment: dict[str, str]) -> None:
    name, equals, value = data.partition("=")
    assert equals, data
    if kind == "set":
        variables[name] = value
    elif kind == "env-set":
        assert value.startswith("$"), data
        if value[1:] in environment:
            variables[name] = environment[value[1:]]
    elif kind == "exec-set":
        path = {"PATH": "/usr/bin:/bin"}
        said = subprocess.run(["/bin/sh", "-c", value], capture_output=True, text=True, env=path | environment, check=False)
        if said.stdout.rstrip(" \n"):
            variables[name] = said.stdout.rstrip(" \n")
    else:
        raise AssertionError(f"unknown directive {kind}")
