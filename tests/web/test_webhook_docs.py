"""What docs/webhooks.md shows works, and what it says of types, waits and limits is what the code does."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from calls.webhook_events import EVENT_TYPES, TEST
from calls.webhook_sign import signed_headers
from jobs.webhook_schedule import SCHEDULE_S
from settings import Settings

TEXT = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text()
SECRET, OTHER = b"s" * 32, b"o" * 32
BODY = '{"type":"call.queued","data":{"name":"Jürgen €"}}'.encode()


def snippet(language: str) -> str:
    found = re.search(rf"<!-- tested: {language} -->\n```\w+\n(.*?)```", TEXT, re.DOTALL)
    assert found is not None
    return found[1]


def shown(secret: bytes) -> str:
    return "whsec_" + base64.b64encode(secret).decode()


def cases() -> list[tuple[bool, str, dict[str, str], bytes]]:
    """(whether it is genuine, secret, headers, body)."""
    now = int(time.time())
    good = signed_headers([SECRET], "id-1", now, BODY)
    both = signed_headers([OTHER, SECRET], "id-1", now, BODY)
    return [
        (True, shown(SECRET), good, BODY),
        (True, shown(SECRET), both, BODY),
        (True, shown(OTHER), both, BODY),
        (False, shown(OTHER), good, BODY),
        (False, shown(SECRET), good, BODY + b" "),
        (False, shown(SECRET), {**good, "webhook-id": "id-2"}, BODY),
        (False, shown(SECRET), signed_headers([SECRET], "id-1", now - 400, BODY), BODY),
        (False, shown(SECRET), signed_headers([SECRET], "id-1", now + 400, BODY), BODY),
        (False, shown(SECRET), {**good, "webhook-signature": "v1,"}, BODY),
        (False, shown(SECRET), {**good, "webhook-signature": "v1,AAAA"}, BODY),
        # What anybody may send.
        (False, shown(SECRET), {**good, "webhook-signature": "v1,é v1 \udcff"}, BODY),
        *(
            (False, shown(SECRET), {**good, "webhook-timestamp": odd}, BODY)
            for odd in ("", "now", "1e9", "-1", "٣", "9" * 5000)
        ),
        *(
            (False, shown(SECRET), {key: value for key, value in good.items() if key != one}, BODY)
            for one in good
            if one.startswith("webhook-")
        ),
    ]


def test_the_python_snippet_tells_genuine_from_false() -> None:
    space: dict[str, object] = {}
    exec(compile(snippet("python"), "docs/webhooks.md", "exec"), space)
    verified = space["verified"]
    assert callable(verified)
    assert [verified(secret, headers, body) for _, secret, headers, body in cases()] == [case[0] for case in cases()]


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node on this machine")
def test_the_node_snippet_tells_genuine_from_false(tmp_path: Path) -> None:
    given = [[secret, headers, base64.b64encode(body).decode()] for _, secret, headers, body in cases()]
    script = tmp_path / "verify.cjs"
    script.write_text(
        snippet("node") + f"const cases = {json.dumps(given)};\n"
        "console.log(JSON.stringify(cases.map(([s, h, b]) => verified(s, h, Buffer.from(b, 'base64')))));\n"
    )
    done = subprocess.run(["node", str(script)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [case[0] for case in cases()]


def test_every_type_is_in_the_table_and_no_other() -> None:
    table = TEXT.partition("### Types")[2].partition("## The request")[0]
    assert set(re.findall(r"`((?:call|recording|suppression|webhook_endpoint)\.[a-z_]+)`", table)) == {*EVENT_TYPES, TEST}


def test_the_waits_are_those_of_the_settings() -> None:
    units = {"s": 1, "min": 60, "h": 3600}
    sentence = re.search(r"is tried again\nafter (.*?), each spread", TEXT, re.DOTALL)
    assert sentence is not None
    waits = [int(number) * units[unit] for number, unit in re.findall(r"(\d+) (s|min|h)\b", sentence[1])]
    assert tuple(waits) == SCHEDULE_S[1:] == Settings.model_fields["webhook_schedule_s"].default[1:]


def test_every_setting_that_it_names_exists() -> None:
    assert set(re.findall(r"`(webhook_[a-z_]+(?:_s|_days|_url))`", TEXT)) - {"webhook_url"} <= set(Settings.model_fields)
