"""Calls of one account that are asked for at the same moment are accepted in one stroke, and each is answered its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest

from store import calls
from store.calls import Accepted, Asked
from tests.store.threads import wait_for
from tests.web.conftest import Api
from web.api import together

Order = Callable[..., dict[str, Any]]
DEADLINE_S = 30.0


def test_who_asks_while_a_stroke_is_under_way_goes_along_with_the_next(
    api: Api, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept, strokes, begun, go_on = calls.accept_asked, list[int](), Event(), Event()

    def slowly(db: Any, tenant_id: Any, asked: Sequence[Asked], **more: Any) -> list[Accepted | Exception]:
        strokes.append(len(asked))
        if len(strokes) == 1:
            begun.set()
            assert go_on.wait(DEADLINE_S)
        return accept(db, tenant_id, asked, **more)

    monkeypatch.setattr("web.api.together.calls.accept_asked", slowly)
    bodies = [order(client_reference=f"together-{number}") for number in range(6)]
    bodies[3]["agent_id"] = f"agent_{'0' * 32}"
    with ThreadPoolExecutor(len(bodies)) as pool:
        answers = [pool.submit(api.post, "/v1/calls", bodies[0])]
        assert begun.wait(DEADLINE_S)
        answers += [pool.submit(api.post, "/v1/calls", body) for body in bodies[1:]]
        wait_for(lambda: len(bodies) - 1 in [len(desk._waiting) for desk in together._desks.values()])
        go_on.set()
        told = [answer.result(DEADLINE_S) for answer in answers]
    assert strokes == [1, 5]
    assert [one.status_code for one in told] == [202, 202, 202, 422, 202, 202]
    assert told[3].get_json()["errors"][0]["code"] == "unknown_agent"
    for body, one in zip(bodies, told, strict=True):
        if one.status_code == 202:
            assert one.get_json()["client_reference"] == body["client_reference"]
            assert api.get(one.headers["Location"]).get_json()["id"] == one.get_json()["id"]
