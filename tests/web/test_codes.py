"""Every code that web/ says is in the one list and explained on the page, and nothing else is."""

from __future__ import annotations

import ast
import http.client
import json
import re
import socket
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.web.conftest import Api, World
from tests.web.served import ROOT, Server
from web.codes import codes, type_of

#: Function -> (which list its code is of, which argument the code is).
_SAYS: dict[str, tuple[str, int]] = {
    "Problem": ("problems", 1),
    "too_many": ("problems", 0),
    "_unauthorized": ("problems", 0),
    "lending": ("problems", 0),
    "FieldError": ("fields", 1),
    "fault": ("fields", 0),
    "Fault": ("fields", 0),
    "NumberError": ("fields", 0),
    "Finding": ("fields", 1),
}
#: Where the code is a variable: file and function -> where it comes from is looked at in this way.
_PASSED_ON = {
    ("web/problems.py", "by_status"),  # _BY_STATUS, below
    ("web/problems.py", "too_many"),  # its callers are looked at
    ("web/problems.py", "unavailable"),  # its callers, below
    ("web/auth.py", "_unauthorized"),
    ("web/operator/lent.py", "lending"),  # its callers are looked at
    ("web/api/fields.py", "fault"),
    ("web/api/fields.py", "make_error"),  # _CODES, below
    ("web/api/fields.py", "_deserialize"),  # NumberError's own code
    ("web/api/keys.py", "refused"),  # _CODES, below
    ("web/api/newcall.py", "prepare"),  # a Finding's own
    ("web/api/call_actions.py", "transfer"),  # a Finding's own
    ("web/operator/trials.py", "_placed"),
    ("calls/outbound_rules.py", "number"),  # NumberError's own
    ("calls/outbound_rules.py", "destination"),  # below
    ("calls/outbound_rules.py", "times"),  # below
    ("web/api/parser.py", "faults_of"),  # a Fault's own, else "invalid"
    ("web/api/batch_body.py", "below"),  # a fault of a part, told of the whole
    ("web/api/suppression_fields.py", "_deserialize"),  # NumberError's own
    ("calls/guard_rules.py", "_finding"),  # below
    ("calls/ledger.py", "faults"),  # another Fault, of a chain
    ("calls/numbers.py", "_judge"),  # _REFUSED_KINDS, below
}


def _texts(node: ast.expr) -> list[str] | None:
    """The texts that the expression may be; None: not to be told."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.IfExp):
        one, other = _texts(node.body), _texts(node.orelse)
        return None if one is None or other is None else one + other
    return None


def _said(path: Path) -> Iterator[tuple[str, str, str]]:
    """(list, code, function it is said in) of a file; code "" where it is a variable."""
    tree = ast.parse(path.read_text())

    def walk(node: ast.AST, function: str) -> Iterator[tuple[str, str, str]]:
        for child in ast.iter_child_nodes(node):
            inside = child.name if isinstance(child, ast.FunctionDef) else function
            if isinstance(child, ast.Call):
                name = child.func.attr if isinstance(child.func, ast.Attribute) else getattr(child.func, "id", "")
                if name == "unavailable" and child.args:
                    yield from (("problems", f"{part}_unavailable", inside) for part in _texts(child.args[0]) or [""])
                elif name in _SAYS:
                    kind, place = _SAYS[name]
                    given = child.args[place] if len(child.args) > place else None
                    named = next((word.value for word in child.keywords if word.arg in ("code", "scope")), None)
                    code = given if given is not None else named
                    if code is not None:
                        yield from ((kind, text, inside) for text in _texts(code) or [""])
            yield from walk(child, inside)

    yield from walk(tree, "")


def _used() -> tuple[dict[str, set[str]], set[tuple[str, str]]]:
    """List -> its codes in use, and the places where a code is a variable."""
    used: dict[str, set[str]] = {"problems": set(), "fields": set()}
    passed: set[tuple[str, str]] = set()
    for path in [*sorted((ROOT / "web").rglob("*.py")), *sorted((ROOT / "calls").glob("*.py"))]:
        for kind, code, function in _said(path):
            if code:
                used[kind].add(code)
            else:
                passed.add((path.relative_to(ROOT).as_posix(), function))
    from calls import guard_rules, numbers
    from web import problems
    from web.api import fields, keys

    used["problems"] |= {code for code, _ in problems._BY_STATUS.values()} | {problems._REFUSED[0]}
    used["problems"] |= set(keys._CODES.values())
    used["fields"] |= set(re.findall(r'"(destination_\w+)"', (ROOT / "calls" / "destinations.py").read_text()))
    used["fields"] |= {"per_day", "number_per_day"}  # calls.rules.DayCaps
    used["fields"] |= {"cap_reached", guard_rules.USED_UP}
    used["fields"] |= {*fields._CODES.values(), "invalid"}
    used["fields"] |= {code for code, _ in numbers._REFUSED_KINDS.values()}
    return used, passed


def test_what_is_said_is_listed_and_what_is_listed_is_said() -> None:
    used, passed = _used()
    assert used["problems"] == set(codes().problems)
    assert used["fields"] == set(codes().fields)
    # A code that is put together, or comes from elsewhere: say above how it is looked at.
    assert passed == _PASSED_ON


def test_every_code_is_explained_in_words_of_its_own() -> None:
    listed = [*codes().problems.values(), *codes().fields.values()]
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", code.code) for code in listed)
    assert all(code.meaning.endswith(".") and code.remedy.endswith(".") for code in listed)
    problems = list(codes().problems.values())
    assert len({code.meaning for code in problems}) == len(problems)
    assert all(400 <= status <= 599 for code in problems for status in code.statuses)
    assert all(code.statuses for code in problems)


class _Anchors(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.fetched += [value or "" for name, value in attrs if name in ("src", "href", "action")]


def test_the_type_of_a_problem_leads_to_its_explanation(api: Api) -> None:
    problem = api.get("/v1/nothing").get_json()
    address, _, anchor = problem["type"].partition("#")
    page = api.get(address, key="")
    assert (page.status_code, page.mimetype) == (200, "text/html")
    anchors = _Anchors()
    anchors.feed(page.get_data(as_text=True))
    assert anchor in anchors.ids
    assert sorted(anchors.ids) == sorted([*codes().problems, *(f"field-{code}" for code in codes().fields)])
    assert anchors.fetched == []
    assert "script" not in page.headers["Content-Security-Policy"]


#: What no HTTP library sends: the server answers before, or without, the application.
_CHUNK = b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"
_BROKEN = {
    "no HTTP": (b"hello\r\n\r\n", 400, "bad_request"),
    "a line too long": (b"GET /v1/calls?" + b"x" * 5000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414, "uri_too_long"),
    "a header too long": (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 9000 + b"\r\n\r\n", 431, "headers_too_large"),
    "too many headers": (
        b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: 1\r\n" % n for n in range(100)) + b"\r\n",
        431,
        "headers_too_large",
    ),
    "a header that is none": (b"GET / HTTP/1.1\r\nHost a\r\n\r\n", 400, "bad_request"),
    "two lengths": (
        b"POST /v1/calls HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        400,
        "bad_request",
    ),
    "an unknown coding": (
        b"POST /v1/calls HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: rot13\r\n\r\n",
        501,
        "not_implemented",
    ),
    "another expectation": (b"GET / HTTP/1.1\r\nHost: a\r\nExpect: miracles\r\n\r\n", 417, "expectation_failed"),
    "another version": (b"GET / HTTP/9.9\r\nHost: a\r\n\r\n", 400, "bad_request"),
    "a chunk that is none": (
        b"POST /v1/calls HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer KEY\r\nContent-Type: application/json\r\n" + _CHUNK,
        400,
        "bad_request",
    ),
}


def test_what_is_no_http_is_refused_in_the_same_shape(serve: Callable[..., Server], world: World) -> None:
    server = serve()
    for what, (sent, status, code) in _BROKEN.items():
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
            connection.sendall(sent.replace(b"KEY", world.our_key.encode()))
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            problem = json.loads(answer.read())
        assert (what, answer.status, problem["code"]) == (what, status, code)
        assert answer.headers["Content-Type"] == "application/problem+json", what
        assert problem["request_id"] == answer.headers["X-Request-Id"], what
        assert problem["type"] == type_of(code), what
    assert server.ask("GET", "/healthz")[0] == 200
    log = server.log.read_text()
    assert "Traceback" not in log
    assert "Warning" not in log


@pytest.mark.parametrize("accept", ["application/json", "text/html", "image/png;q=1, */*;q=0"])
def test_accept_changes_nothing(api: Api, accept: str) -> None:
    """There is one form of each answer: whoever asks for another one gets it all the same, as RFC 9110 allows."""
    assert api.get("/v1/calls", headers={"Accept": accept}).mimetype == "application/json"
    assert api.get("/v1/nothing", headers={"Accept": accept}).mimetype == "application/problem+json"
