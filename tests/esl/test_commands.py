"""The builders: exact text for good values, and with hostile ones never a second command or an unbalanced brace."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls.trunk import Trunk
from controller import audio_fork, commands, commands_link, esl_wire, gateway_commands
from controller.commands import Command, CommandError
from controller.esl_state import CALL_EVENTS, Subscription

A = UUID("f3280cf2-59b3-4d51-b8d1-b6d6f408f532")
C = UUID("11111111-2222-4333-8444-555555555555")
FORK = f"ws://127.0.0.1:8090/fork/{A}"

GOOD_DIAL: dict[str, Any] = {
    "attempt_id": A,
    "call_ref": f"call_{C.hex}",
    "tenant": "acme",
    "gateway": "carrier_a",
    "to_number": "+14155550110",
    "from_number": "+12025550123",
    "originate_timeout_s": 55,
    "max_duration_s": 3600,
    "fork_url": FORK,
}


def test_originate_word_for_word() -> None:
    assert commands.originate(**GOOD_DIAL).wire.decode() == (
        f"bgapi originate {{origination_uuid={A},sip_invite_call_id={A},trunkline_attempt={A},trunkline_call={C},"
        f"presence_data=call_{C.hex},accountcode=acme,originate_timeout=55,media_timeout=60000,"
        "media_hold_timeout=600000,ignore_early_media=true,"
        "outbound_redirect_fatal=true,sofia_session_timeout=0,playback_terminators=none,"
        "origination_caller_id_number=+12025550123,"
        "origination_caller_id_name=+12025550123,sip_cid_type=pid,origination_privacy=screen,"
        f"sip_h_X-Trunkline-Attempt={A},absolute_codec_string=^^:PCMU:PCMA,"
        "execute_on_answer='sched_hangup +3600 ALLOTTED_TIMEOUT',"
        f"api_on_answer='uuid_audio_fork {A} start ws://127.0.0.1:8090/fork/{A} mono 8k trunkline'}}"
        f"sofia/gateway/carrier_a/+14155550110 &park()\nJob-UUID: {A}\n\n"
    )


def test_originate_without_a_fork_and_with_one_codec() -> None:
    wire = commands.originate(**{**GOOD_DIAL, "fork_url": None, "trunk": Trunk(codecs=["PCMA"])}).wire
    assert b"audio_fork" not in wire
    assert b",absolute_codec_string=PCMA," in wire


def test_originate_to_somebody_behind_a_trunk() -> None:
    wire = commands.originate(**GOOD_DIAL, user="desk.2+x-1").wire.decode()
    assert "}sofia/gateway/carrier_a/desk.2+x-1 &park()" in wire
    for user in ("", "a b", "a@b", "a&park()", "a|b", "a,b", "a%20b", "a;b", "a/b", "ä", "a" * 65, 7):
        with pytest.raises(CommandError, match="user"):
            commands.originate(**GOOD_DIAL, user=user)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("built", "text"),
    [
        (commands.hash_insert("trunkline", A, 1), f"api hash insert/trunkline/{A}/1"),
        (commands.hash_select("trunkline", A), f"api hash select/trunkline/{A}"),
        (commands.hash_delete("trunkline", A), f"api hash delete/trunkline/{A}"),
        (commands.uuid_kill(A), f"api uuid_kill {A} NORMAL_CLEARING"),
        (commands.uuid_exists(A), f"api uuid_exists {A}"),
        (commands.ping(), "api uuid_exists 00000000-0000-0000-0000-000000000000"),
        (commands.uuid_getvar(A, "sip_call_id"), f"api uuid_getvar {A} sip_call_id"),
        (commands.uuid_setvar(A, "trunkline_hangup_by", "agent"), f"api uuid_setvar {A} trunkline_hangup_by agent"),
        (
            commands.uuid_setvar(A, "trunkline_end_reason", "agent_done"),
            f"api uuid_setvar {A} trunkline_end_reason agent_done",
        ),
        (commands.uuid_dump(A), f"api uuid_dump {A}"),
        (commands.uuid_break(A), f"api uuid_break {A} all"),
        (commands.uuid_send_dtmf(A, "12#*AD"), f"api uuid_send_dtmf {A} 12#*AD"),
        (commands.uuid_send_dtmf(A, "1w2", 100), f"api uuid_send_dtmf {A} 1w2@100"),
        (commands.uuid_setvar(A, "trunkline_action", str(A)), f"api uuid_setvar {A} trunkline_action {A}"),
        (commands.show_channels(), "api show channels as json"),
        (commands.status(), "api status"),
        (commands.version(), "api version"),
        (commands.global_getvar("core_uuid"), "api global_getvar core_uuid"),
        (commands.gateway_status("carrier_a"), "api sofia xmlstatus gateway carrier_a"),
        (commands.gateway_list(), "api sofia xmlstatus gateway"),
        (commands.gateway_rescan(), "bgapi sofia profile carriers rescan"),
        (commands.gateway_kill("acme-e1-v12"), "api sofia profile carriers killgw acme-e1-v12"),
        (commands.acl_reload(), "bgapi reloadacl"),
        (commands.audio_fork_start(A, FORK), f"api uuid_audio_fork {A} start {FORK} mono 8k trunkline"),
        (commands.audio_fork_start(A, FORK, rate=16000), f"api uuid_audio_fork {A} start {FORK} mono 16k trunkline"),
        (commands.audio_fork_stop(A), f"api uuid_audio_fork {A} stop trunkline"),
        (
            commands.playback(A, "/dev/shm/trunkline/a-1.r8", "p.1", under=["/dev/shm/trunkline/"]),
            (
                f"sendmsg {A}\ncall-command: execute\nexecute-app-name: playback\n"
                "execute-app-arg: /dev/shm/trunkline/a-1.r8\nevent-lock: true\nasync: true\nEvent-UUID: p.1"
            ),
        ),
        (
            commands.uuid_displace(A, "/dev/shm/trunkline/a-1.raw", under=["/dev/shm/trunkline/"]),
            f"api uuid_displace {A} start /dev/shm/trunkline/a-1.raw 0 mf",
        ),
        (commands.hangup(A), f"sendmsg {A}\ncall-command: hangup\nhangup-cause: NORMAL_CLEARING"),
        (commands_link.auth(user="", password="s3cret"), "auth s3cret"),
        (commands_link.auth(user="trunkline@default", password="s3cret"), "userauth trunkline@default:s3cret"),
        (commands_link.subscribe(["DTMF"]), "event json DTMF"),
        (
            commands_link.subscribe(["DTMF"], ["mod_audio_fork::connect"]),
            "event json DTMF CUSTOM mod_audio_fork::connect",
        ),
        (commands_link.filter_event("HEARTBEAT"), "filter Event-Name HEARTBEAT"),
        (commands_link.filter_subclass("sofia::gateway_state"), "filter Event-Subclass sofia::gateway_state"),
        (commands_link.filter_our_calls(), "filter variable_trunkline_attempt /.+/"),
    ],
)
def test_word_for_word(built: Command, text: str) -> None:
    assert built.wire.decode() == text + "\n\n"
    assert commands.wire(built) == built.wire


@pytest.mark.parametrize(
    "number", ["911", "112", "+19005550123", "14155550110", "+1415555", "+1 415 555 0110", "", "+14155550110,"]
)
def test_numbers_that_are_never_dialed(number: str) -> None:
    with pytest.raises(CommandError, match="number"):
        commands.originate(**{**GOOD_DIAL, "to_number": number})


@pytest.mark.parametrize(
    ("path", "good"),
    [
        ("/dev/shm/trunkline/x.wav", True),
        ("/srv/audio/hello.wav", True),
        ("/dev/shm/trunkline/../../etc/passwd", False),
        ("/dev/shm/trunkline", False),
        ("/dev/shm/trunkline/", False),
        ("/dev/shm/trunkline//x.wav", False),
        ("//dev/shm/trunkline/x.wav", False),
        ("/dev/shm/trunklines/x.wav", False),
        ("dev/shm/trunkline/x.wav", False),
        ("/dev/shm/trunkline/x y.wav", False),
        ("/dev/shm/trunkline/x!y.wav", False),
        ("/dev/shm/trunkline/${x}.wav", False),
        ("/dev/shm/trunkline/x.wav\nasync: false", False),
        ("tone_stream://%(200,100,440)", False),
        ("file_string:///a", False),
    ],
)
def test_playback_stays_in_its_directories(path: str, good: bool) -> None:
    under = ["/dev/shm/trunkline", "/srv/audio"]
    if good:
        assert f"execute-app-arg: {path}\n" in commands.playback(A, path, "t", under=under).wire.decode()
    else:
        with pytest.raises(CommandError, match="path"):
            commands.playback(A, path, "t", under=under)
    with pytest.raises(CommandError, match="path"):
        commands.playback(A, path, "t", under=[])


@pytest.mark.parametrize(
    "url",
    [
        f"ws://10.0.0.1:8090/fork/{A}",
        f"ws://localhost:8090/fork/{A}",
        f"wss://127.0.0.1:8090/fork/{A}",
        f"ws://127.0.0.1:0/fork/{A}",
        f"ws://127.0.0.1:70000/fork/{A}",
        f"ws://127.0.0.1:8090/fork/{C}",
        f"ws://127.0.0.1:8090/fork/{A} mono",
        f"ws://127.0.0.1:8090/fork/{A}\n",
        "",
        None,
    ],
)
def test_audio_leaves_on_loopback_only(url: str) -> None:
    with pytest.raises(CommandError, match="url"):
        commands.audio_fork_start(A, url)


def test_every_fork_start_names_rate_and_bug() -> None:
    """A start without a rate ends the switch's process."""
    text = re.compile(rb"uuid_audio_fork \S+ start \S+ mono (8|16)k [a-z][a-z0-9_]*['\n]")
    for built in (commands.audio_fork_start(A, FORK), commands.originate(**GOOD_DIAL)):
        assert text.search(built.wire)
    for wrong in ({"rate": 44100}, {"rate": 0}, {"bugname": ""}, {"bugname": "{}"}, {"bugname": "a b"}):
        with pytest.raises(CommandError):
            commands.audio_fork_start(A, FORK, **wrong)


def test_secrets_are_in_no_repr_and_in_no_error() -> None:
    assert "s3cret" not in repr(commands_link.auth(user="", password="s3cret"))
    for user, password in (("", "s3 cret"), ("a@b", "s3:cret"), ("", "s3\n\nexit"), ("", ""), ("a", "s3cret"), ("", "s3é")):
        with pytest.raises(CommandError) as caught:
            commands_link.auth(user=user, password=password)
        assert "s3" not in str(caught.value)


def test_commands_come_from_builders_alone() -> None:
    with pytest.raises(CommandError, match="builders"):
        Command("x", b"api status\n\n", False, None)
    with pytest.raises(AttributeError):
        commands.status().wire = b"api system id\n\n"  # type: ignore[misc]
    with pytest.raises(CommandError, match="builders"):
        Command("x", b"api status\n\n", False, object())


@pytest.mark.parametrize(
    "wire",
    [
        b"",
        b"\n\n",
        b"api status",
        b"api status\n",
        b"api status\n\n\n",
        b"\napi status\n\n",
        b"api status\n\napi system id\n\n",
        b"api status\r\n\r\n",
        b"api sta\x00tus\n\n",
        "api stat\u00fcs\n\n".encode(),
        b"api system id\n\n",
        b"bgapi system id\n\n",
        b"api  system id\n\n",
        b"api\n\n",
        b"api bgapi originate\n\n",
        b"sendevent X\n\n",
        b"exit\n\n",
        b"log debug\n\n",
        b"api status " + b"x" * 9000 + b"\n\n",
    ],
)
def test_the_last_gate(wire: bytes) -> None:
    with pytest.raises(CommandError):
        esl_wire.check_wire(wire)


def test_filters_let_through_what_carries_no_variables() -> None:
    texts = [c.wire.decode().strip() for c in Subscription(("DTMF", "CHANNEL_ANSWER")).commands()]
    assert texts == [
        "filter variable_trunkline_attempt /.+/",
        "filter Event-Name DTMF",
        "event json DTMF CHANNEL_ANSWER",
    ]
    assert [c.kind for c in Subscription(("DTMF",), our_calls=False).commands()] == ["subscribe"]
    assert CALL_EVENTS.commands()[-1].kind == "subscribe"


# --- hostile text ----------------------------------------------------------------------------------------------------

NASTY = [
    "a\n\napi system id\n\n", "a\r\n\r\nexit", "x}sofia/gateway/b/+1", "{x=y}", "[x=y]", "<x=y>", "a,b", "a|b", "a:_:b",
    "^^;a;b", "'", '"', "\\", "${system(id)}", "$${x}", "&", "&bridge(x)", "a b", "\x00", "\x1b", "\u2028", "\x85",
    "undef", "é", "-", "", " ", "\t", "%0a", "../..", "/", "a" * 5000, "ws://127.0.0.1:1/fork/x mono 8k y\n\nexit",
]  # fmt: skip
anything = st.one_of(
    st.sampled_from(NASTY),
    st.text(max_size=40),
    st.builds(lambda a, b: a + b, st.sampled_from(["acme", "+14155550110", FORK, "PCMU"]), st.sampled_from(NASTY)),
    st.integers(),
    st.booleans(),
    st.none(),
    st.binary(max_size=8),
    st.uuids(),
)


def one_command(built: Command) -> None:
    """As the switch reads it: one command, nothing after it; braces and quotes in pairs."""
    text = commands.wire(built).decode("ascii")
    assert text.endswith("\n\n")
    assert text.count("\n\n") == 1
    assert "\r" not in text
    assert all(32 <= ord(char) < 127 or char == "\n" for char in text)
    for left, right in ("{}", "[]", "<>", "()"):
        assert text.count(left) == text.count(right) <= 1
    assert text.count("'") in (0, 2, 4)
    assert not set(text) & set('|$"\\`;')


trunk_fields = {
    "codecs": st.lists(st.sampled_from(["PCMU", "PCMA"]) | anything, max_size=5) | anything,
    "number_format": st.sampled_from(["plus", "double_zero", "digits", "national"]) | anything,
    "caller_format": st.sampled_from(["plus", "double_zero", "digits", "national"]) | anything,
    "caller_header": st.sampled_from(["pai", "ppi", "rpid", "none"]) | anything,
    "privacy": st.sampled_from(["off", "none", "id"]) | anything,
    "country_code": st.sampled_from(["1", "49"]) | anything,
    "national_prefix": st.sampled_from(["", "0"]) | anything,
    "international_prefix": st.sampled_from(["00", "011"]) | anything,
    "tech_prefix": st.sampled_from(["", "99#", "*7"]) | anything,
    "media_timeout_s": st.integers(10, 3600) | anything,
    "from_domain": anything,
    "from_user": anything,
}
# As a carrier's row would be if no table had checked it.
hostile_trunk = st.fixed_dictionaries({}, optional=trunk_fields).map(lambda fields: Trunk(**fields))


@given(st.dictionaries(st.sampled_from(sorted(GOOD_DIAL)), anything, max_size=3), hostile_trunk | anything)
def test_hostile_originate(wrong: dict[str, Any], trunk: Any) -> None:
    try:
        built = commands.originate(**{**GOOD_DIAL, "trunk": trunk, **wrong})
    except CommandError:
        return
    one_command(built)
    text = built.wire.decode()
    target = r"sofia/gateway/[A-Za-z0-9_-]+/(?:[0-9*]|%23)*\+?[0-9]+"
    match = re.fullmatch(rf"bgapi originate \{{([^{{}}]*)\}}{target} &park\(\)\nJob-UUID: [0-9a-f-]{{36}}\n\n", text)
    assert match is not None
    names = [part.partition("=")[0] for part in match[1].split(",")]
    assert len(names) == len(set(names))
    fullest = Trunk(privacy="id")
    known = {"sip_cid_suppress_privacy_none"}
    known |= set(re.findall(r"[{,]([a-zA-Z_-]+)=", commands.originate(**GOOD_DIAL, trunk=fullest).wire.decode()))
    assert set(names) <= known


BUILDERS: list[tuple[str, Callable[..., Command]]] = [
    (name, member)
    for module in (commands, commands_link)
    for name, member in vars(module).items()
    if inspect.isfunction(member)
    and not name.startswith("_")
    and member.__module__ in (module.__name__, audio_fork.__name__, gateway_commands.__name__)
    and name != "originate"
]


def test_every_builder_is_tried() -> None:
    assert len(BUILDERS) >= 28
    assert all(inspect.signature(builder).return_annotation == "Command" for _, builder in BUILDERS)


@pytest.mark.parametrize(("name", "builder"), BUILDERS)
@given(data=st.data())
def test_hostile_builders(name: str, builder: Callable[..., Command], data: st.DataObject) -> None:
    good: dict[str, Any] = {
        "attempt_id": A, "other_id": C, "realm": "trunkline", "fence": 1, "cause": "USER_BUSY", "digits": "1",
        "tone_ms": 100, "tag": "t",
        "path": "/a/b", "under": ["/a"], "url": FORK, "bugname": "b", "rate": 8000, "gateway": "g",
        "user": "", "password": "p", "events": ["DTMF"], "subclasses": ["sofia::gateway_state"], "value": "agent",
        "name": {"uuid_setvar": "trunkline_hangup_by", "uuid_getvar": "accountcode", "global_getvar": "hostname",
                 "filter_event": "DTMF", "filter_subclass": "sofia::gateway_state"}.get(name),
    }  # fmt: skip
    parameters = inspect.signature(builder).parameters
    arguments = {p: good[p] for p in parameters}
    one_command(builder(**arguments))
    for parameter in parameters:
        value = data.draw(anything)
        listed = [value] if isinstance(good[parameter], list) else value
        try:
            built = builder(**{**arguments, parameter: listed})
        except CommandError:
            continue
        if name != "auth":  # a password may hold any printable character; it is no grammar
            one_command(built)
        assert built.wire.count(b"\n\n") == 1
