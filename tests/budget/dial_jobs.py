"""A process that takes permits and runs their dial jobs until no work is left or it is killed. Arguments: Redis URL, name.

What it ran is kept in the set ``ran``, so that whoever killed it knows what Postgres would know.
"""

from __future__ import annotations

import sys

from budget import permits
from budget.connect import connect
from budget.worker import DialRunner
from settings import Settings
from tests.budget.bench import CARRIER


def main(url: str, name: str) -> None:
    settings = Settings(redis_url=url)
    redis = connect(settings)
    runner = DialRunner(redis, name)
    while True:
        grants = permits.grant(redis, settings, CARRIER, name, want=10).grants
        if not grants:
            return
        jobs = runner.begin([(str(permit.attempt_id), permit.lane) for permit in grants])
        for permit, job in zip(grants, jobs, strict=True):
            runner.run(job, lambda ran=permit.attempt_id: redis.sadd("ran", str(ran)))  # type: ignore[misc]
            permits.mark_claimed(redis, permit.attempt_id, permit.fence)
            permits.release(redis, permit.attempt_id, permit.fence)
        runner.end(jobs)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
