"""A process that takes permits and runs their dial jobs until no work is left or it is killed. Arguments: Redis URL, name.

What it ran is kept in the set ``ran``, so that whoever killed it knows what Postgres would know.
"""

from __future__ import annotations

import sys
from typing import cast

from budget import permits
from budget.connect import connect
from budget.worker import DialRunner
from controller import dial
from controller.dial import DIALS, Dial
from settings import Settings
from tests.budget.bench import CARRIER


def main(url: str, name: str) -> None:
    settings = Settings(redis_url=url)
    redis = connect(settings)
    runner = DialRunner(redis, name)
    dial.place_call = lambda d: str(redis.sadd("ran", str(d.permit.attempt_id)))
    while True:
        answer = permits.grant(redis, settings, CARRIER, name, want=10)
        if not answer.grants:
            return
        for permit in answer.grants:
            DIALS[str(permit.attempt_id)] = cast(Dial, _Permitted(permit))
            runner.run(str(permit.attempt_id), permit.lane)
            permits.mark_claimed(redis, permit.attempt_id, permit.fence)
            permits.release(redis, permit.attempt_id, permit.fence)


class _Permitted:
    """As much of a dial as RQ's job looks at."""

    result = ""

    def __init__(self, permit: permits.Grant) -> None:
        self.permit = permit


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
