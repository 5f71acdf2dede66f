"""Whatever is done to keys in whichever order: at most two of a name are in force, and exactly those open."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from calls.access import network
from store import keys, tenants
from store.key_text import Given, read
from tests.store.conftest import T0, World

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("create"), st.sampled_from(("one", "two")), st.sampled_from((None, 5, 20))),
        st.tuples(st.just("rotate"), st.integers(0, 5), st.sampled_from((None, 0, 3))),
        st.tuples(st.just("revoke"), st.integers(0, 5), st.none()),
        st.tuples(st.just("wait"), st.integers(1, 6), st.none()),
    ),
    min_size=4,
    max_size=14,
)


@dataclass(frozen=True)
class Known:
    """A key as the model has it; times in hours after T0."""

    id: UUID
    given: Given
    name: str
    born: int
    ends: int | None
    revoked: bool = False

    def opens(self, hour: int) -> bool:
        return not self.revoked and (self.ends is None or self.ends > hour)


def at(hour: int | None) -> datetime | None:
    return None if hour is None else T0 + timedelta(hours=hour)


@given(STEPS)
# Each example is of a tenant of its own.
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_at_most_two_keys_of_a_name_and_exactly_those_open(
    world: World, steps: list[tuple[str, object, int | None]]
) -> None:
    tenant = tenants.create(world.db, name=f"rotation-{uuid4().hex[:12]}").id
    model: list[Known] = []
    hour = 0
    for deed, what, more in steps:
        now = T0 + timedelta(hours=hour)
        if deed == "wait":
            assert isinstance(what, int)
            hour += what
        elif deed == "create":
            _create(world, tenant, model, str(what), hour, more)
        elif model:
            assert isinstance(what, int)
            place = what % len(model)
            if deed == "revoke":
                assert keys.revoke_own(world.db, tenant, model[place].id, now) is not None
                model[place] = replace(model[place], revoked=True)
            else:
                _rotate(world, tenant, model, place, hour, more)
        now = T0 + timedelta(hours=hour)
        for name in ("one", "two"):
            assert sum(one.name == name and one.opens(hour) for one in model) <= 2
        for one in model:
            found = keys.authenticate(world.db, one.given, now)
            assert (found is not None) == one.opens(hour)
            if found is not None:
                assert (found[1].scopes, found[1].allowed_ips) == ({"calls:read"}, [network("10.0.0.0/8")])


def _create(world: World, tenant: UUID, model: list[Known], name: str, hour: int, lives: int | None) -> None:
    now = T0 + timedelta(hours=hour)
    taken = any(one.name == name and one.opens(hour) for one in model)
    ends = None if lives is None else hour + lives
    try:
        made, text = keys.create(
            world.db,
            tenant_id=tenant,
            name=name,
            scopes=["calls:read"],
            allowed_ips=[network("10.0.0.0/8")],
            expires_at=at(ends),
            now=now,
        )
    except keys.KeyNameTaken:
        assert taken
        return
    assert not taken
    model.append(Known(made.id, _read(text), name, hour, ends))


def _rotate(world: World, tenant: UUID, model: list[Known], place: int, hour: int, old_lives: int | None) -> None:
    old, now = model[place], T0 + timedelta(hours=hour)
    # A name whose keys are all over may be made anew: its keys then follow no older ones.
    in_force = sum(one.name == old.name and one.opens(hour) for one in model)
    shorter = None if old_lives is None else hour + old_lives
    try:
        done = keys.rotate(world.db, tenant_id=tenant, key_id=old.id, now=now, old_expires_at=at(shorter))
    except keys.NotInForce:
        assert not old.opens(hour)
        return
    except keys.TwoInForce:
        assert in_force == 2
        return
    assert old.opens(hour)
    assert in_force == 1
    assert done is not None
    ends = None if old.ends is None else hour + old.ends - old.born
    model.append(Known(done[1].id, _read(done[2]), old.name, hour, ends))
    if shorter is not None:
        model[place] = replace(old, ends=shorter if old.ends is None else min(old.ends, shorter))


def _read(text: str) -> Given:
    given = read(text)
    assert given is not None
    return given
