"""FreeSWITCH's own way of cutting a command line: quotes, escapes, `{variables}`, `sofia/gateway/<gw>/<number>`.

Follows switch_separate_string, switch_find_end_paren and switch_event_create_brackets, as far as we use them: in
the first cut (at spaces) single quotes are removed, so a comma inside quotes still divides variables unless it is
written `\\,` or the block starts with `^^x`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

USAGE = (
    "-USAGE: <call url> <exten>|&<application_name>(<app_args>) [<dialplan>] [<context>] [<cid_name>] "
    "[<cid_num>] [<timeout_sec>]\n"
)
_UNESCAPE = {"n": "\n", "r": "\r", "t": "\t", "s": " "}


def _clean(text: str, delimiter: str) -> str:
    out: list[str] = []
    end = 0
    quoted = False
    at = len(text) - len(text.lstrip(" "))
    while at < len(text):
        char = text[at]
        if char == "\\" and at + 1 < len(text):
            following = text[at + 1]
            if following in "'\"\\" or (delimiter and following == delimiter) or following in _UNESCAPE:
                special = following in "'\"\\" or (bool(delimiter) and following == delimiter)
                out.append(following if special else _UNESCAPE[following])
                end = len(out)
                at += 2
                continue
        if char == "'" and (quoted or "'" in text[at + 1 :]):
            quoted = not quoted
            if quoted:
                end = len(out)
        else:
            out.append(char)
            if char != " " or quoted:
                end = len(out)
        at += 1
    return "".join(out[:end])


def separate(text: str, delimiter: str, limit: int) -> list[str]:
    """At most `limit` parts; the last one takes the rest. A blank delimiter swallows runs of blanks."""
    if delimiter == " ":
        return _separate_blank(text, limit)
    parts: list[str] = []
    start = at = 0
    quoted = False
    while at < len(text) and len(parts) < limit - 1:
        char = text[at]
        if char == "\\" and at + 1 < len(text):
            at += 2
            continue
        if char == "'" and (quoted or "'" in text[at + 1 :]):
            quoted = not quoted
        elif char == delimiter and not quoted:
            parts.append(text[start:at])
            start = at + 1
        at += 1
    parts.append(text[start:])
    return [_clean(part, delimiter) for part in parts] if text else []


def _separate_blank(text: str, limit: int) -> list[str]:
    parts: list[str] = []
    at = 0
    length = len(text)
    while at < length and len(parts) < limit:
        while at < length and text[at] == " ":
            at += 1
        start = at
        quoted = False
        while at < length:
            if text[at] == "\\":
                at += 1
            elif text[at] == "'":
                quoted = not quoted
            elif text[at] == " " and not quoted and len(parts) < limit - 1:
                break
            at += 1
        parts.append(text[start:at])
        while at < length and text[at] == " ":
            at += 1
    return [_clean(part, "") for part in parts]


def find_end(text: str, opening: str, closing: str) -> int:
    """Index of the bracket that closes `text[0]`, nested ones counted; -1 when there is none."""
    depth = 0
    for at, char in enumerate(text):
        if char == opening:
            depth += 1
        elif char == closing:
            depth -= 1
            if depth == 0:
                return at
    return -1


def parse_variables(text: str) -> dict[str, str]:
    """The inside of `{...}`: `a=b,c=d`, or `^^:a=b:c=d` with a delimiter of one's own."""
    delimiter = ","
    if text.startswith("^^") and len(text) > 2:
        delimiter, text = text[2], text[3:]
    variables: dict[str, str] = {}
    for part in separate(text, delimiter, 1024):
        pieces = separate(part, "=", 2)
        if len(pieces) == 2 and pieces[0]:
            variables[pieces[0]] = pieces[1]
    return variables


@dataclass(slots=True)
class Dial:
    """A parsed originate. `gateway` empty means the URL is not one of ours."""

    variables: dict[str, str] = field(default_factory=dict)
    gateway: str = ""
    number: str = ""
    application: str = "park"
    argument: str = ""
    timeout: float = 60.0
    url: str = ""


def parse_originate(text: str) -> Dial | None:
    """None where FreeSWITCH prints its usage."""
    words = separate(text, " ", 10)
    if len(words) < 2 or len(words) > 7:
        return None
    dial = Dial()
    url = words[0]
    while url[:1] in ("{", "["):
        end = find_end(url, url[0], "}" if url[0] == "{" else "]")
        if end < 0:
            return dial  # no URL left: the dial fails, as it does there
        dial.variables.update(parse_variables(url[1:end]))
        url = url[end + 1 :]
    dial.url = url
    if url.startswith("sofia/gateway/"):
        dial.gateway, _, dial.number = url[len("sofia/gateway/") :].partition("/")
    extension = words[1]
    if extension.startswith("&"):
        name, _, argument = extension[1:].partition("(")
        dial.application, dial.argument = name.rstrip(")"), argument.partition(")")[0]
    if len(words) > 4 and words[4] != "undef":
        dial.variables.setdefault("origination_caller_id_name", words[4])
    if len(words) > 5 and words[5] != "undef":
        dial.variables.setdefault("origination_caller_id_number", words[5])
    if len(words) > 6 and words[6].isdigit():
        dial.timeout = float(words[6])
    return dial
