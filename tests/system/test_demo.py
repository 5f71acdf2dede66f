"""``trunkline demo --exit``: what a newcomer sees first ends by itself, in order, and leaves nothing."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]


def test_the_demo_passes_and_leaves_nothing(tmp_path: pathlib.Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from trunkline.cli import main; main()", "demo", "--exit", "--calls", "24"],
        cwd=CHECKOUT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=220,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert "passed: no call lost, no limit broken" in done.stdout
    assert re.search(r"^\d+ results handed in by the agent, each in its call's record: ", done.stdout, re.MULTILINE)
    kept = re.findall(r"│ (lab_[ab]) +│ +(\d+) │ +0 │ +(\d+) │ +(20|10) │ +(\d+) │ +([52]) │ kept", done.stdout)
    assert [row[0] for row in kept] == ["lab_a", "lab_b"]
    assert sum(int(row[1]) for row in kept) >= 24
    assert re.search(r"202 -> INVITE at the carrier, nothing ahead \(20\): p50 \d+ ms, p95 \d+ ms", done.stdout)
    assert re.search(r"^export TL_URL=http://127\.0\.0\.1:\d+ TL_KEY=tl_\w+ TL_AGENT=agent_\w+ ", done.stdout, re.MULTILINE)
    assert re.search(r"curl -si http://127\.0\.0\.1:\d+/v1/calls -H 'Authorization: Bearer tl_\w+'", done.stdout)
    assert re.search(rf"^{tmp_path}/trunkline-run-\w+/shell trunkline trace call_\w+$", done.stdout, re.MULTILINE)
    assert list(tmp_path.iterdir()) == []
    for pid in re.findall(r"pid (\d+)", done.stdout):
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)
