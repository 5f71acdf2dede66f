"""The agent's code looks for the keeper's password: in no process above it is it to be read, by whomever it is run."""

from __future__ import annotations

import json
import os
from collections.abc import Callable

import pytest

from tests.fleet.house import PASSWORD, Call, Fleet, reach

ROOT = os.geteuid() == 0
#: An ordinary user: who may read this interpreter, wherever it is installed, and nothing else that others may not.
ORDINARY = [
    "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=+dac_read_search",
    "--ambient-caps=+dac_read_search",
]  # fmt: skip
#: What starts the keeper, its options, and the user id of its worker.
WAYS: dict[str, tuple[list[str], list[str], int]] = {
    "divided": ([], [], os.geteuid()),
    "each anew": ([], ["--fresh"], os.geteuid()),
    **({"by an ordinary user": (ORDINARY, [], 65534)} if ROOT else {}),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_keepers_password_is_out_of_its_agents_reach(
    fleet: Callable[..., Fleet], call: Callable[[], Call], way: str
) -> None:
    before, options, uid = WAYS[way]
    house = fleet("--agent", "tests.fleet.thief:answer", *options, workers=1, before=before)
    house.await_free(1)
    ours = call()
    socket = reach(ours.url, ours.id, ours.token())
    told = json.loads(socket.recv(timeout=30))
    socket.close()
    ours.end()
    assert told["uid"] == uid
    above = {pid for pid, _, _ in told["found"]}
    assert house.process.pid in above
    assert PASSWORD not in json.dumps(told)
    at_the_keeper = {what: text for pid, what, text in told["found"] if pid == house.process.pid}
    assert all(text.startswith("refused") for text in at_the_keeper.values()), at_the_keeper


def test_who_is_not_root_gives_no_worker_to_another(fleet: Callable[..., Fleet]) -> None:
    house = fleet("--user", "root" if not ROOT else "nobody_of_this_name", workers=1)
    assert house.process.wait(timeout=30) == 2
    assert "--user" in house.log.read_text()
