"""The link on a switch that behaves."""

from __future__ import annotations

import time
from uuid import UUID, uuid4

import gevent
import pytest

from controller import commands
from controller.esl import CommandRefused, EslLink, LinkDown, LinkState, Pending, TooLate
from controller.esl_errors import CommandTimeout
from tests.esl.conftest import MakeLink, MakeSwitch
from tests.esl.stub import CORE, Peer, usual, wait_for

ATTEMPT = UUID("f3280cf2-59b3-4d51-b8d1-b6d6f408f532")


def dial(attempt: UUID) -> commands.Command:
    return commands.originate(
        attempt_id=attempt,
        call_ref=f"call_{attempt.hex}",
        tenant="acme",
        gateway="carrier_a",
        to_number="+14155550110",
        from_number="+12025550123",
        originate_timeout_s=55,
        max_duration_s=3600,
    )


def test_connects_and_answers(switch: MakeSwitch, link: MakeLink) -> None:
    item = link(switch())
    item.connect()
    assert item.up
    assert item.connected is True
    assert item.core_uuid == CORE
    assert item.call(commands.uuid_exists(ATTEMPT)) == "false"
    assert item.send(commands.uuid_exists(ATTEMPT)) == "false"


def test_is_a_greenswitch_link(switch: MakeSwitch, link: MakeLink) -> None:
    from greenswitch import InboundESL

    target = switch()
    item = link(target)
    assert isinstance(item, InboundESL)
    with item as inside:
        assert inside is item
        assert item.up
    assert item.state is LinkState.STOPPED
    wait_for(lambda: target.peers[0].read() is None)


def test_start_returns_at_once_and_comes_up(switch: MakeSwitch, link: MakeLink) -> None:
    item = link(switch())
    ups: list[bool] = []
    item.on_up(lambda: ups.append(item.up))
    assert not item.wait_up(0)
    item.start()
    item.start()
    assert item.wait_up(2)
    wait_for(lambda: ups == [True])


def test_before_the_start_nothing_is_sent(switch: MakeSwitch, link: MakeLink) -> None:
    item = link(switch())
    with pytest.raises(LinkDown) as caught:
        item.call(commands.status())
    assert caught.value.maybe_sent is False


def test_tombstone_and_originate_leave_as_one_write(switch: MakeSwitch, link: MakeLink) -> None:
    reads: list[bytes] = []

    def script(peer: Peer) -> None:
        peer.login()
        core = peer.read()
        assert core is not None
        peer.answer(core)
        reads.append(peer.sock.recv(65536))
        peer.api("+OK\n")
        peer.reply(f"+OK Job-UUID: {ATTEMPT}\nJob-UUID: {ATTEMPT}")
        peer.serve()

    item = link(switch(script), esl_ping_interval_s=5.0)
    item.connect()
    pair = [commands.hash_insert("trunkline", ATTEMPT, 7), dial(ATTEMPT)]
    tombstone, originate = item.write(pair)
    assert item.unacknowledged("originate") == 1
    assert tombstone.wait() == "+OK"
    assert originate.wait() == f"+OK Job-UUID: {ATTEMPT}"
    assert item.unacknowledged("originate") == 0
    assert reads == [pair[0].wire + pair[1].wire]


def test_replies_go_to_their_commands_in_order(switch: MakeSwitch, link: MakeLink) -> None:
    def script(peer: Peer) -> None:
        peer.login()
        while (command := peer.read()) is not None:
            if "uuid_getvar" in command:
                peer.api(command.split()[2])
            else:
                peer.answer(command)

    item = link(switch(script), esl_command_timeout_s=2.0)
    item.connect()
    wanted = [uuid4() for _ in range(200)]
    got: dict[UUID, str] = {}

    def ask(one: UUID) -> None:
        got[one] = item.call(commands.uuid_getvar(one, "accountcode"))

    gevent.joinall([gevent.spawn(ask, one) for one in wanted], timeout=5, raise_error=True)
    assert got == {one: str(one) for one in wanted}


def test_refusal_is_typed_and_the_link_goes_on(switch: MakeSwitch, link: MakeLink) -> None:
    def script(peer: Peer) -> None:
        peer.login()
        while (command := peer.read()) is not None:
            if "uuid_kill" in command:
                peer.api("-ERR No such channel!\n")
            elif command.startswith("sendmsg"):
                peer.reply("-ERR invalid session id [x]")
            elif "show channels" in command:
                peer.api("-USAGE: whatever\n")
            else:
                peer.answer(command)

    item = link(switch(script))
    item.connect()
    with pytest.raises(CommandRefused) as kill:
        item.call(commands.uuid_kill(ATTEMPT))
    with pytest.raises(CommandRefused) as message:
        item.call(commands.hangup(ATTEMPT))
    with pytest.raises(CommandRefused) as usage:
        item.call(commands.show_channels())
    assert (kill.value.no_such_channel, message.value.no_such_channel, usage.value.no_such_channel) == (True, True, False)
    assert item.write([commands.uuid_kill(ATTEMPT)])[0].wait() == "-ERR No such channel!"
    assert item.call(commands.hash_select("trunkline", ATTEMPT)) == ""
    assert item.counters.downs == 0


def test_ping_measures_the_round_trip(switch: MakeSwitch, link: MakeLink) -> None:
    item = link(switch(), esl_ping_interval_s=0.02)
    item.connect()
    wait_for(lambda: item.round_trip_s is not None)
    assert item.round_trip_s is not None
    assert 0 < item.round_trip_s < 0.3


def test_only_a_command_reaches_the_socket(switch: MakeSwitch, link: MakeLink) -> None:
    target = switch()
    item = link(target)
    item.connect()
    before = list(target.peers[0].got)
    for wrong in ("api system id", b"api system id\n\n", None):
        with pytest.raises(commands.CommandError):
            item.call(wrong)  # type: ignore[arg-type]
    forged = commands.status()
    object.__setattr__(forged, "wire", b"api status\n\napi system id\n\n")
    with pytest.raises(commands.CommandError):
        item.write([commands.status(), forged])
    assert item.call(commands.uuid_exists(ATTEMPT)) == "false"
    assert [c for c in target.peers[0].got[len(before) :] if "uuid_exists" not in c] == []


def test_callers_own_timeout_passes_and_costs_nothing(switch: MakeSwitch, link: MakeLink) -> None:
    go = gevent.event.Event()

    def script(peer: Peer) -> None:
        peer.login()
        while (command := peer.read()) is not None:
            if "status" in command:
                go.wait(2)
                peer.api("UP")
            else:
                peer.answer(command)

    item = link(switch(script), esl_command_timeout_s=2.0)
    item.connect()
    with pytest.raises(gevent.Timeout) as caught:
        with gevent.Timeout(0.05) as mine:
            item.call(commands.status())
    assert caught.value is mine
    go.set()
    assert item.call(commands.uuid_exists(ATTEMPT)) == "false"  # the late reply went to its own command
    assert item.counters.downs == 0


def test_within_waits_without_consequence(switch: MakeSwitch, link: MakeLink) -> None:
    go = gevent.event.Event()

    def script(peer: Peer) -> None:
        peer.login()
        while (command := peer.read()) is not None:
            if "status" in command:
                go.wait(2)
            peer.answer(command)

    item = link(switch(script), esl_command_timeout_s=2.0)
    item.connect()
    pending: Pending = item.write([commands.status()])[0]
    assert not pending.within(0.05)
    assert item.up
    go.set()
    assert pending.within(1)


def test_starts_again_after_stop(switch: MakeSwitch, link: MakeLink) -> None:
    target = switch()
    item = link(target)
    item.connect()
    item.stop()
    item.stop()
    with pytest.raises(LinkDown):
        item.call(commands.status())
    item.connect()
    assert item.call(commands.uuid_exists(ATTEMPT)) == "false"
    assert len(target.peers) == 2


def test_stop_fails_what_waits(switch: MakeSwitch, link: MakeLink) -> None:
    def script(peer: Peer) -> None:
        peer.login()
        peer.answer(peer.read() or "")
        while peer.read() is not None:
            pass

    item = link(switch(script), esl_command_timeout_s=5.0)
    item.connect()

    def ask() -> bool:
        with pytest.raises(LinkDown) as caught:
            item.call(commands.status())
        return caught.value.maybe_sent

    waiting = gevent.spawn(ask)
    wait_for(lambda: item.unacknowledged("status") == 1)
    item.stop()
    assert waiting.get(timeout=1) is True


def test_command_timeout_closes_and_the_link_comes_back(switch: MakeSwitch, link: MakeLink) -> None:
    def mute(peer: Peer) -> None:
        peer.login()
        peer.answer(peer.read() or "")
        while peer.read() is not None:
            pass

    target = switch(mute, usual)
    item = link(target, esl_ping_interval_s=5.0)
    downs: list[str] = []
    item.on_down(downs.append)
    item.connect()
    first, second = item.write([commands.status(), commands.version()])
    with pytest.raises(CommandTimeout) as caught:
        first.wait()
    assert caught.value.maybe_sent is True
    with pytest.raises(LinkDown):
        second.wait()
    wait_for(lambda: item.up and len(target.peers) == 2)
    wait_for(lambda: len(downs) == 1)
    assert "status" in downs[0]
    assert item.call(commands.uuid_exists(ATTEMPT)) == "false"


def test_a_reply_nobody_waits_for_is_still_due(switch: MakeSwitch, link: MakeLink) -> None:
    def mute(peer: Peer) -> None:
        peer.login()
        peer.answer(peer.read() or "")
        while peer.read() is not None:
            pass

    target = switch(mute, usual)
    item = link(target, esl_ping_interval_s=0.05)
    item.connect()
    pending = item.write([commands.status()])[0]
    wait_for(lambda: len(target.peers) == 2)
    assert pending.done
    assert item.counters.timeouts == 1


def test_a_command_may_have_more_time_than_others(switch: MakeSwitch, link: MakeLink) -> None:
    def slow(peer: Peer) -> None:
        peer.login()
        while (command := peer.read()) is not None:
            if "show channels" in command:
                gevent.sleep(0.6)
                peer.api('{"row_count":0}')
            else:
                peer.answer(command)

    item = link(switch(slow), esl_command_timeout_s=0.2, esl_ping_interval_s=0.05)
    item.connect()
    assert item.call(commands.show_channels(), timeout_s=3.0) == '{"row_count":0}'
    pending = item.write([commands.show_channels()])[0]
    assert pending.wait(3.0) == '{"row_count":0}'
    assert item.counters.downs == 0


def test_a_missed_moment_writes_nothing(switch: MakeSwitch, link: MakeLink) -> None:
    target = switch()
    item = link(target, esl_ping_interval_s=5.0)
    item.connect()
    before = len(target.peers[0].got)
    with pytest.raises(TooLate) as caught:
        item.write([commands.hash_insert("trunkline", ATTEMPT, 1), dial(ATTEMPT)], use_by=time.monotonic() - 0.001)
    assert caught.value.maybe_sent is False
    assert item.write([commands.version()], use_by=time.monotonic() + 5)[0].wait() == "-ERR no reply"
    assert target.peers[0].got[before:] == ["api version"]


def test_two_links_share_nothing(switch: MakeSwitch, link: MakeLink) -> None:
    target = switch()
    first, second = link(target), link(target, role="events")
    first.connect()
    second.connect()
    target.peers[0].close()
    wait_for(lambda: not first.up)
    assert second.up


def test_role_is_checked(switch: MakeSwitch) -> None:
    with pytest.raises(ValueError, match="role"):
        EslLink(switch().settings(), role="both")


def test_password_is_checked_before_anything_is_connected(switch: MakeSwitch) -> None:
    with pytest.raises(commands.CommandError, match="esl_password") as caught:
        EslLink(switch().settings(esl_password="se cret\n\nexit"))
    assert "cret" not in str(caught.value)
