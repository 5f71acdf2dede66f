"""The gateways of a switch, kept: real Postgres, the simulated switch reading real files, a carrier behind it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from budget.connect import connect
from calls.ids import call_ref
from controller import commands
from controller.board import Board
from controller.doctor_commands import acl
from controller.esl import EslLink
from controller.gateway_status import read_gateways
from controller.gateway_xml import MARK
from controller.gateways import Gateways
from controller.keeper import SETTLE_S, Keeper
from lab.host import LabCarrier, LabSwitch
from lab.judge import read_log
from store import attempts, gateways, switches, trunks
from store.carriers import list_endpoints
from tests.controller.test_gateways import lab
from tests.esl.stub import wait_for
from tests.store.conftest import World, settings_for
from tests.store.test_trunks import name_of

SILENT_CALLEE = "+12125550122"
SECRET = "TRUNKLINE_SECRET_ACME"
#: With everything that XML and the switch's own parser would take for theirs.
PASSWORD = "a\"b'c<d>&e$${esl_password}f;g=h,i"


@pytest.fixture
def acme() -> Iterator[LabCarrier]:
    """A carrier that wants digest for every INVITE."""
    os.environ["LAB_DIGEST"] = PASSWORD
    with LabCarrier("acme", extra=["--challenge", "--user", "u7", "--password-env", "LAB_DIGEST"]) as carrier:
        yield carrier
    del os.environ["LAB_DIGEST"]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "gateways").mkdir()
    return tmp_path / "gateways"


@pytest.fixture
def board(world: World, redis_url: str, directory: Path) -> Iterator[Board]:
    with LabSwitch({"by-hand": ("127.0.0.1", 5999)}, extra=["--gateway-dir", str(directory)]) as switch:
        host, port = switch.esl
        settings = settings_for(
            world.url, redis_url=redis_url, esl_host=host, esl_port=port, esl_password=switch.password,
            switch=f"fs-{uuid4().hex[:6]}", gateway_dir=str(directory),
        )  # fmt: skip
        # Other tests' endpoints in this database are none of this switch's.
        world.execute("UPDATE gateway_versions SET retired_at = now() WHERE retired_at IS NULL")
        world.execute("UPDATE endpoints SET name = NULL, enabled = false")
        world.execute("DELETE FROM switches")
        switches.seen(world.db, settings.switch, "core", datetime.now(UTC))
        link, redis = EslLink(settings), connect(settings)
        link.connect()
        yield Board(settings, world.db, redis, link, EslLink(settings, role="events"))
        link.stop()
        redis.close()


@pytest.fixture
def keeper(board: Board) -> Keeper:
    return Keeper(board, lambda: None, {SECRET: PASSWORD})


def seen(board: Board) -> dict[str, dict[str, str]]:
    return read_gateways(board.link.call(commands.gateway_list()))


def put(world: World, carrier: LabCarrier | str, name: str = "e1") -> str:
    """The gateway that its next version is called, less its number."""
    address = carrier if isinstance(carrier, str) else f"{carrier.sip[0]}:{carrier.sip[1]}"
    trunks.put_endpoint(world.db, carrier_id=world.carrier_id, carrier=name_of(world), name=name, address=address)
    return f"{name_of(world)}-{name}-v"


def apply(world: World, keeper: Keeper, board: Board) -> list[str]:
    """As trunkline carriers apply does; what differs afterwards."""
    gateways.plan(world.db, datetime.now(UTC))
    gateways.order(world.db, "apply", datetime.now(UTC), board.settings.switch)
    keeper.turn()
    (order,) = [one for one in gateways.orders(world.db) if one.switch == board.settings.switch]
    assert order.done_at is not None
    return [f"{f['gateway']}: {f['what']}" for f in order.findings if f["gateway"] != "by-hand"]


def dial(world: World, board: Board) -> attempts.Claimed:
    """One call claimed and originated on the switch as the controller does it."""
    now = datetime.now(UTC)
    accepted = world.accept(
        to_number=SILENT_CALLEE, from_number="+12025550123", due_at=now, expires_at=now.replace(year=2099)
    )
    claim = world.claim(accepted.attempt_id, switch=board.settings.switch, now=now, clock=now)
    assert isinstance(claim, attempts.Claimed), claim
    trunk = trunks.get(world.db, name_of(world))
    assert trunk is not None
    board.link.call(
        commands.originate(
            attempt_id=claim.attempt_id,
            call_ref=call_ref(claim.call_id),
            tenant=claim.tenant_name,
            gateway=claim.gateway,
            to_number=claim.to_number,
            from_number=claim.from_number,
            originate_timeout_s=30,
            max_duration_s=60,
            trunk=trunk,
        )
    )
    return claim


def invites(carrier: LabCarrier) -> list[dict[str, object]]:
    return [fact for fact in read_log(carrier.log) if fact["k"] == "invite"]


def test_a_digest_gateway_is_rendered_loaded_and_dialed(
    world: World, board: Board, keeper: Keeper, acme: LabCarrier, directory: Path
) -> None:
    trunks.update(world.db, name_of(world), auth="digest", username="u7", secret_env=SECRET)
    gateway = put(world, acme) + "1"
    assert apply(world, keeper, board) == []
    file = directory / f"{gateway}.xml"
    assert file.stat().st_mode & 0o777 == 0o600
    assert PASSWORD not in file.read_text()
    assert "$$" not in file.read_text()
    assert PASSWORD not in str(world.rows("SELECT * FROM gateway_versions")) + str(world.rows("SELECT * FROM carriers"))
    claim = dial(world, board)
    assert claim.gateway == gateway
    wait_for(lambda: any(fact["k"] == "answer" for fact in read_log(acme.log)))
    first, second = invites(acme)
    assert (first["verdict"], second["verdict"]) == ("challenged", "admitted")
    assert first["call_id"] == second["call_id"] == str(claim.attempt_id)


def test_without_its_password_a_gateway_is_not_loaded_and_that_is_said(
    world: World, board: Board, directory: Path, acme: LabCarrier
) -> None:
    trunks.update(world.db, name_of(world), auth="digest", username="u7", secret_env=SECRET)
    gateway = put(world, acme) + "1"
    keeper = Keeper(board, lambda: None, {})
    assert apply(world, keeper, board) == [f"{gateway}: failed"]
    assert not (directory / f"{gateway}.xml").exists()
    (load,) = [one for one in gateways.loads(world.db, board.settings.switch) if one.gateway == gateway]
    assert SECRET in load.why
    assert load.state == "failed"


def test_a_carrier_of_another_family_than_the_switchs_is_not_dialed_and_that_is_said(
    world: World, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    call = board.link.call

    def noted(command: commands.Command) -> str:
        asked.append(str(command))
        return call(command)

    monkeypatch.setattr(board.link, "call", noted)
    monkeypatch.setattr("controller.keeper.TURN_S", 0.0)
    patient = replace(board, settings=board.settings.model_copy(update={"gateway_look_s": 3600}))
    keeper = Keeper(patient, lambda: None, {})
    gateway = put(world, "[::1]:5998") + "1"
    assert apply(world, keeper, board) == [f"{gateway}: family"]
    asked.clear()
    assert apply(world, keeper, board) == [f"{gateway}: family"]
    assert str(commands.gateway_kill(gateway)) not in asked, "loaded anew it would be as it is"
    assert str(commands.gateway_rescan()) not in asked
    asked.clear()
    keeper.turn()
    assert str(commands.gateway_list()) not in asked, "nothing mends it by itself: it is looked at as seldom as any other"
    assert seen(board)[gateway]["proxy"] == "sip:[::1]:5998", "it is loaded as it should be"
    (load,) = [one for one in gateways.loads(world.db, board.settings.switch) if one.gateway == gateway]
    assert (load.state, "IPv6" in load.why, "FREESWITCH_SIP_IP" in load.why) == ("failed", True, True)
    refused = world.claim(world.accept().attempt_id, switch=board.settings.switch)
    assert refused == attempts.Refused("no_endpoint")
    second = put(world, "127.0.0.1:5998") + "2"
    apply(world, keeper, board)
    states = {one.gateway: one.state for one in gateways.loads(world.db, board.settings.switch)}
    assert states == {gateway: "failed", second: "loaded"}


def test_an_edit_leaves_live_calls_alone_and_the_old_gateway_goes_when_they_are_over(
    world: World, board: Board, keeper: Keeper, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controller.keeper.SETTLE_S", 0.0)
    assert SETTLE_S > 1
    with LabCarrier("one") as one, LabCarrier("two") as two:
        prefix = put(world, one)
        assert apply(world, keeper, board) == []
        live = [dial(world, board) for _ in range(3)]
        wait_for(lambda: sum(fact["k"] == "answer" for fact in read_log(one.log)) == 3)
        put(world, two)
        assert apply(world, keeper, board) == []
        assert {f"{prefix}1", f"{prefix}2"} <= seen(board).keys(), "calls are on the first"
        new = dial(world, board)
        assert new.gateway == f"{prefix}2"
        wait_for(lambda: any(fact["k"] == "answer" for fact in read_log(two.log)))
        keeper.turn()
        assert f"{prefix}1" in seen(board)
        assert not [fact for fact in read_log(one.log) if fact["k"] in ("bye", "bye_sent", "cancel")], "none was dropped"
        for call in live:
            board.link.call(commands.uuid_kill(call.attempt_id))
        # Postgres still believes in them, for nobody has written their events down. Then it knows, and the switch agrees.
        keeper.turn()
        assert f"{prefix}1" in seen(board)
        world.execute("UPDATE attempts SET state = 'ended' WHERE id = ANY(%s)", [call.attempt_id for call in live])

        def gone() -> bool:
            keeper.turn()
            return f"{prefix}1" not in seen(board)

        wait_for(gone)
        assert not (directory / f"{prefix}1.xml").exists()
        assert f"{prefix}2" in seen(board)
        assert f"{prefix}1" not in {v.gateway for v in gateways.wanted(world.db, board.settings.switch)}


def test_a_channel_that_only_the_switch_knows_keeps_its_gateway(
    world: World, board: Board, keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controller.keeper.SETTLE_S", 0.0)
    with LabCarrier("one") as one:
        prefix = put(world, one)
        apply(world, keeper, board)
        call = dial(world, board)
        wait_for(lambda: any(fact["k"] == "answer" for fact in read_log(one.log)))
        wait_for(lambda: str(call.attempt_id) in board.link.call(commands.show_channels()))
        world.execute("UPDATE attempts SET state = 'ended' WHERE id = %s", call.attempt_id)  # concluded without the switch
        put(world, "127.0.0.1:5998")
        apply(world, keeper, board)
        keeper.turn()
        assert f"{prefix}1" in seen(board)
        board.link.call(commands.uuid_kill(call.attempt_id))


def test_drift_is_told_on_a_running_switch_and_mended_on_demand(
    world: World, board: Board, keeper: Keeper, directory: Path
) -> None:
    prefix = put(world, "127.0.0.1:5998")
    put(world, "127.0.0.1:5997", "e2")
    other = f"{name_of(world)}-e2-v1"
    stranger = directory / "stranger.xml"
    stranger.write_text("<include><gateway name='x'><param name='proxy' value='127.0.0.1:1'/></gateway></include>")
    assert apply(world, keeper, board) == []
    ours = directory / f"{prefix}1.xml"
    assert ours.read_text().startswith(MARK)

    def told() -> dict[str, str]:
        gateways.order(world.db, "look", datetime.now(UTC), board.settings.switch)
        keeper.turn()
        (order,) = [one for one in gateways.orders(world.db) if one.switch == board.settings.switch]
        return {f["gateway"]: f"{f['what']} {f['detail']}" for f in order.findings}

    # Somebody edits a file and loads it, kills another gateway, adds one of their own, and empties the list of addresses.
    ours.write_text(ours.read_text().replace("127.0.0.1:5998", "127.0.0.1:5888"))
    board.link.call(commands.gateway_kill(f"{prefix}1"))
    board.link.call(commands.gateway_rescan())
    wait_for(lambda: seen(board).get(f"{prefix}1", {}).get("proxy") == "sip:127.0.0.1:5888")
    board.link.call(commands.gateway_kill(other))
    lab(board.link, "gateway add foreign 127.0.0.1:5")
    (directory / "acl" / "carriers.xml").write_text("<include/>")
    board.link.call(commands.acl_reload())
    wait_for(lambda: board.link.call(acl("127.0.0.1", "carriers")) == "false")
    drift = told()
    assert "5888" in drift[f"{prefix}1"] or drift[f"{prefix}1"].startswith("acl")
    assert drift["foreign"].startswith("unknown")
    states = {load.gateway: load.state for load in gateways.loads(world.db, board.settings.switch)}
    assert (states[f"{prefix}1"], states[other]) == ("failed", "failed")
    refused = world.claim(world.accept().attempt_id, switch=board.settings.switch)
    assert isinstance(refused, attempts.Refused), "nothing is dialed through a gateway that is not what it should be"
    gateway_state = Gateways(board)
    ups = gateway_state.look(datetime.now(UTC))[world.carrier_id]
    assert ups[f"{prefix}1"] is False, "it is loaded and UP, and yet no permit is to be asked for it"
    assert gateway_state.down(world.carrier_id)

    assert apply(world, keeper, board) == ["foreign: unknown"], "a stranger is shown, and left alone"
    assert seen(board)[f"{prefix}1"]["proxy"] == "sip:127.0.0.1:5998"
    assert gateway_state.look(datetime.now(UTC))[world.carrier_id][f"{prefix}1"] is True
    assert other in seen(board)
    assert stranger.exists()
    assert board.link.call(acl("127.0.0.1", "carriers")) == "true"
    assert board.link.call(acl("127.0.0.2", "carriers")) == "false"


def test_without_a_directory_an_apply_says_so(world: World, board: Board) -> None:
    prefix = put(world, "127.0.0.1:5998")
    blind = replace(board, settings=board.settings.model_copy(update={"gateway_dir": ""}))
    assert apply(world, Keeper(blind, lambda: None, {}), board) == [f"{prefix}1: failed", f"{prefix}1: acl"]
    (load,) = [one for one in gateways.loads(world.db, board.settings.switch) if one.gateway == f"{prefix}1"]
    assert "TRUNKLINE_GATEWAY_DIR" in load.why
    assert all(e.gateway != f"{prefix}1" or e.name for e in list_endpoints(world.db))


def test_whoever_dials_hears_that_a_gateway_is_there(world: World, board: Board) -> None:
    told: list[str] = []
    keeper = Keeper(board, lambda: told.append("changed"), {})
    put(world, "127.0.0.1:5998")
    apply(world, keeper, board)
    assert told == ["changed"]
    keeper.turn()
    assert told == ["changed"]
