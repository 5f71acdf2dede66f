"""The plain case of grant decides as the rest of it does: the same house, moved the same way, with and without it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from random import Random
from typing import Any, cast
from uuid import UUID

import pytest

from budget import health, permits, scripts
from budget.inbound import Admission
from budget.permits import Answer, Grant
from budget.push import push
from budget.replies import texts
from budget.scripts import PREFIX
from tests.budget.bench import CARRIER, VirtualBench, open_epoch

MS = 1000
OTHER = UUID(int=98)
TENANTS = [UUID(int=n) for n in (10, 11, 12)]
STEPS = 400
SEEDS = range(20)
#: us; how long may pass between two moves. The last one is a step of the clock.
PASSES = (*(0, 300, 2 * MS, 9 * MS) * 5, 30 * MS, 30 * MS, 130 * MS, 1200 * MS, -40 * MS)


@contextmanager
def read_with(read: Callable[[str], str]) -> Iterator[None]:
    """Scripts are put together from what ``read`` gives for their parts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scripts, "source", cache(lambda name, *, virtual=False: scripts.assemble(name, read, virtual=virtual)))
        yield


def without_plain(name: str) -> str:
    return "" if name == "grant/plain" else scripts.part(name)


#: Every key of the database and what it holds, but what depends on the time of day and on chance. Without a present (clk2)
#: the order begins at 0, written or not.
DUMP = """
local found = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  local kind, held = redis.call('TYPE', key).ok, nil
  if not string.find(key, '^rq:job:') and not string.find(key, ARGV[1] .. 'pw:', 1, true) then
    if kind == 'hash' then
      held = {}
      local flat = redis.call('HGETALL', key)
      for i = 1, #flat, 2 do
        held[#held + 1] = not (flat[i] == 'clk2' and flat[i + 1] == '0') and flat[i] .. '=' .. flat[i + 1] or nil
      end
      table.sort(held)
    elseif kind == 'zset' then
      held = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
    elseif kind == 'set' then
      held = redis.call('SMEMBERS', key)
      table.sort(held)
    else
      held = kind == 'list' and redis.call('LRANGE', key, 0, -1) or { redis.call('GET', key) }
    end
    found[#found + 1] = key .. ': ' .. table.concat(held, ' ')
  end
end
table.sort(found)
return found
"""


def everything(virtual: VirtualBench) -> list[str]:
    """See DUMP."""
    return texts(cast(Any, virtual.redis).eval(DUMP, 0, PREFIX))


class Day:
    """Some moves of a house, from a seed."""

    def __init__(self, virtual: VirtualBench, seed: int) -> None:
        self.virtual, self.choose = virtual, Random(seed)
        self.calls = 0
        # 0: the house is limited; 1: tenants and campaigns are; 2: the carrier makes trouble; 3: no answer to permits.
        self.kind = seed % 4
        self.calls_come_in = seed % 5 == 4
        self.live: list[Grant] = []
        choose = self.choose
        self.numbers: dict[str, Any] = {
            "channels": choose.choice((12, 40, 9000)),
            "interval": choose.choice((1, 3 * MS, 8 * MS)),
            "linger_us": choose.choice((0, 0, 50 * MS)),
            "bulk_floor": choose.choice((0.0, 0.1)),
            "urgent_share": choose.choice((1.0, 0.3)),
            "reserved": 5 if self.calls_come_in else 0,
            "gap_us": 1500 * MS,
            "rest_us": 10 * MS,
        }
        virtual.carrier(**self.numbers)
        virtual.carrier(OTHER, channels=30, interval=5 * MS)
        more = choose.choice(((), (".c-x",), (".c-x", ".n-pool")))
        self.lanes = [virtual.lane(one, weight=1 + n) for n, one in enumerate(TENANTS)]
        self.lanes += [virtual.lane(TENANTS[2], more=name, share=2.0) for name in more]
        self.rare = [
            virtual.lane(TENANTS[1], "urgent"),
            virtual.lane(TENANTS[2], "bulk"),
            virtual.lane(TENANTS[1], route="wide", carriers=(CARRIER, OTHER)),
            virtual.lane(TENANTS[0], route="other", carriers=(OTHER,)),
        ]

    def ids(self, count: int) -> list[UUID]:
        self.calls += count
        return [UUID(int=(7 << 100) + self.calls - n) for n in range(count)]

    def fill(self) -> None:
        lane = self.choose.choice(self.lanes * 2 + self.rare)
        push(self.virtual.redis, [(one, lane) for one in self.ids(self.choose.choice((1, 5, 20)))])

    def stray(self) -> None:
        lane = self.choose.choice(self.lanes)
        known = [str(one.attempt_id) for one in self.live] or ["no attempt"]
        cast(Any, self.virtual.redis).lpush(f"rq:queue:{lane}", self.choose.choice([*known[:1], "x" * 36]))

    def end(self) -> bool:
        if not self.live:
            return False
        one = self.live.pop(self.choose.randrange(len(self.live)))
        how = self.choose.choice((permits.release, permits.release, permits.requeue, permits.refuse))
        return how(self.virtual.redis, one.attempt_id, one.fence)

    def come_in(self) -> Admission:
        admission = self.virtual.admit(self.ids(1)[0])
        if admission.fence is not None:
            self.live.append(Grant(UUID(int=(7 << 100) + self.calls), "", 0, admission.fence, 0))
        return admission

    def limit(self) -> None:
        lane_side = f"tenant:{TENANTS[0]}", f"campaign:{TENANTS[2].hex}:x"
        scope = self.choose.choice(("switch:fs1", "global") if self.kind == 0 else lane_side)
        self.virtual.scope(scope, channels=self.choose.choice((None, 1, 3) if scope in lane_side else (None, None, 12)))

    def trouble(self) -> None:
        """The carrier is paused, slowed, stopped, probed; or it is over."""
        redis, settings = self.virtual.redis, self.virtual.settings
        match self.choose.randrange(7 if self.kind == 2 else 4):
            case 0:
                self.virtual.carrier(**self.numbers, paused=True)
            case 1 | 2 | 3:
                self.virtual.carrier(**self.numbers)
            case 4:
                health.slow(redis, settings, CARRIER, self.choose.choice(("cps", "channels")))
            case 5:
                health.set_health(redis, CARRIER, "probing", "test", probes=3, probe_interval_us=20 * MS)
            case _:
                health.set_health(redis, CARRIER, "ok", "")

    def grant(self, carrier: UUID = CARRIER) -> Answer:
        lead, switch = self.choose.choice((5, 5, 30)) * MS, self.choose.choice(("fs1", "fs1", "fs2"))
        answer = permits.grant(self.virtual.redis, self.virtual.settings, carrier, switch, lead_us=lead)
        for one in answer.grants:
            self.live.append(one)
            if self.kind < 3 or self.choose.random() < 0.85:  # else nobody knows when its INVITE leaves
                permits.mark_claimed(self.virtual.redis, one.attempt_id, one.fence)
        return answer

    def spend(self) -> list[Any]:
        """What was answered, and at times everything there is."""
        told: list[Any] = []
        for step in range(STEPS):
            self.virtual.step(self.choose.choice(PASSES))
            move = self.choose.random()
            if move < 0.64:
                told.append(self.grant())
            elif move < 0.70:
                told.append(self.grant(OTHER))
            elif move < 0.80:
                self.fill()
            elif move < 0.90:
                told.append([self.end() for _ in range(4)])
            elif move < 0.92 and self.calls_come_in:
                told.append(self.come_in())
            elif move < 0.92:
                self.stray()
            elif move < 0.95:
                self.limit()
            else:
                self.trouble()
            if step % 50 == 49:
                told.append(everything(self.virtual))
        return told


def spent(virtual: VirtualBench, seed: int) -> list[Any]:
    virtual.redis.flushdb()
    virtual.prepare()
    open_epoch(virtual.redis, 7)
    return Day(virtual, seed).spend()


_expected: dict[int, list[Any]] = {}


def expected(virtual: VirtualBench, seed: int) -> list[Any]:
    """The same day without the plain case."""
    if seed not in _expected:
        with read_with(without_plain):
            _expected[seed] = spent(virtual, seed)
    return _expected[seed]


@pytest.mark.parametrize("seed", SEEDS)
def test_it_decides_as_the_rest_does(virtual: VirtualBench, seed: int) -> None:
    other = expected(virtual, seed)
    assert sum(bool(one.grants) for one in other if isinstance(one, Answer)) > 10
    for step, (one, two) in enumerate(zip(spent(virtual, seed), other, strict=True)):
        assert one == two, step


PLANTED = [
    ("slot = tat\n", "slot = tat - step\n"),
    ("interval + 0, now + lead", "interval + 0, now"),
    ("or paused == '1'", ""),
    ("<= 1 then\n    break -- the last one", "<= 0 then\n    break -- the last one"),
    (" - reserved <= 1", " <= 1"),
    ("orders .. ':urgent', orders .. ':bulk'", "orders .. ':bulk'"),
    ("orders .. ':urgent', orders .. ':bulk'", "orders .. ':urgent'"),
    ("call('EXISTS', orders .. ':urgent')) > 0", "0) > 0"),
    ("slot >= floor or ", ""),
    ("vt + off > score + 0.000001 or ", ""),
    ("limits and limits ~= ',lanes,' or ", ""),
    ("limits and call('SISMEMBER', P .. 'limited', tenant_scope) == 1", "false"),
    ("if not weight or limits and scopes ~= '' then", "if not weight then"),
    ("call('SETNX', P .. 'lease:' .. id, text) == 0", "not call('SET', P .. 'lease:' .. id, text)"),
    ("call('HINCRBY', P .. 'held', 'global', '1')", "call('HINCRBY', P .. 'held', 'global', '0')"),
    ("vt + 1 / weight", "vt + 1"),
    ("passed > LOOK_US or ", ""),
    ("slot > now + reach", "slot > now + horizon"),
    ("if want ~= 1 or special or ", "if want ~= 1 or "),
    ("special or overdue > 0 or", "special or"),
]


@pytest.mark.parametrize(("old", "new"), PLANTED)
def test_a_difference_is_seen(virtual: VirtualBench, old: str, new: str) -> None:
    assert scripts.part("grant/plain").count(old) == 1, "nothing to plant it in"
    for seed in SEEDS:
        other = expected(virtual, seed)
        with read_with(lambda name: scripts.part(name).replace(old, new) if name == "grant/plain" else scripts.part(name)):
            if spent(virtual, seed) != other:
                return
    pytest.fail("not seen in any day")
