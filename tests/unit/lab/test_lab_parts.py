"""The small parts: admission, fates by seed, FreeSWITCH's command line, filters, sounds, digest."""

from __future__ import annotations

import random
import time

import pytest

from lab.audio import pcm
from lab.carrier.limits import Admission
from lab.carrier.outcomes import MAGIC, Mix, parse_mix, parse_range
from lab.judge import max_in_window
from lab.sip import digest
from lab.switch import causes
from lab.switch.dialstring import parse_originate, parse_variables, separate
from lab.switch.events import Event, EventBus, Subscription
from lab.switch.faults import SHUFFLE_S, Faults
from lab.switch.show import ChannelTable, render

S = 1_000_000_000


def test_admission_never_lets_more_than_cps_into_any_window() -> None:
    rng = random.Random(3)
    admission = Admission(cps=5, channels=0)
    at, admitted = 0, []
    for _ in range(2000):
        at += rng.randrange(S // 10)
        if not admission.admit(at):
            admitted.append(at)
    assert max_in_window(admitted, 1.0)[0] == 5


def test_a_refused_call_takes_no_channel() -> None:
    admission = Admission(cps=0, channels=1)
    assert [admission.admit(0), admission.admit(1)] == ["", "channels"]
    admission.release()
    assert admission.admit(2) == ""


def test_a_fate_depends_on_seed_and_number_not_on_the_order_of_calls() -> None:
    weights = parse_mix("answered_hangup=5,busy=3,no_answer=2")
    numbers = [f"+1415556{n:04d}" for n in range(300)]
    one, two, other = (Mix(seed=seed, weights=weights, magic=False) for seed in (7, 7, 8))
    first = {number: one.choose(number).name for number in numbers}
    second = {number: two.choose(number).name for number in reversed(numbers)}
    assert first == second
    assert first != {number: other.choose(number).name for number in numbers}
    assert set(first.values()) == {"answered_hangup", "busy", "no_answer"}


def test_magic_digits_win_over_the_mix_unless_turned_off() -> None:
    assert Mix().choose("+14155550101").name == "busy"
    assert Mix(magic=False).choose("+14155550101").name == "answered_hangup"
    assert set(MAGIC) == {f"{n:04d}" for n in range(101, 141)}


@pytest.mark.parametrize("text", ["nonsense=1", "busy=x"])
def test_a_wrong_mix_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_mix(text)


def test_a_wrong_range_names_its_field() -> None:
    with pytest.raises(ValueError, match="--ring"):
        parse_range("3:1", "--ring")


def test_quotes_keep_words_together_and_are_gone_afterwards() -> None:
    dial = parse_originate("{a=1,api_on_answer='uuid_audio_fork X start ws://h/p mono 8k bug {}'}sofia/gateway/c/+1 &park()")
    assert dial is not None
    assert dial.variables == {"a": "1", "api_on_answer": "uuid_audio_fork X start ws://h/p mono 8k bug {}"}
    assert (dial.gateway, dial.number, dial.application) == ("c", "+1", "park")


def test_a_comma_inside_quotes_still_divides_as_in_freeswitch() -> None:
    dial = parse_originate("{a='x,y'}sofia/gateway/c/1 &park()")
    assert dial is not None
    assert dial.variables == {"a": "x"}
    assert parse_variables("^^:a=x,y:b=2") == {"a": "x,y", "b": "2"}


@pytest.mark.parametrize("text", ["", "{bad", "{a=b}sofia/gateway/c/1"])
def test_what_is_no_originate_gets_the_usage(text: str) -> None:
    assert parse_originate(text) is None


def test_the_last_word_takes_the_rest() -> None:
    assert separate("uuid name two  words", " ", 3) == ["uuid", "name", "two  words"]
    assert separate("insert/realm/key/a/b", "/", 4) == ["insert", "realm", "key", "a/b"]


def test_causes_as_freeswitch_reads_them() -> None:
    assert [causes.from_text(t) for t in ("user_busy", "17", "ALLOTED_TIMEOUT", "")] == [
        "USER_BUSY",
        "USER_BUSY",
        "NORMAL_CLEARING",
        "NORMAL_CLEARING",
    ]
    assert [causes.from_sip(s) for s in (302, 486, 503, 603, 699)] == [
        "REQUESTED_CHAN_UNAVAIL",
        "USER_BUSY",
        "NORMAL_TEMPORARY_FAILURE",
        "CALL_REJECTED",
        "NORMAL_UNSPECIFIED",
    ]
    assert causes.q850_of("ORIGINATOR_CANCEL") == 16


def event(**headers: str) -> Event:
    return Event("X", "", list(headers.items()))


@pytest.mark.parametrize(
    ("filters", "passes"),
    [
        ([], True),
        ([("Unique_ID", "a")], True),
        ([("unique_id", "A")], True),
        ([("Unique_ID", "b")], False),
        ([("Unique_ID", "b"), ("Lane", "one")], True),
        ([("Missing", "x")], False),
        ([("Lane", "/^o/")], True),
        ([("Lane", "/^x/")], False),
        ([("Unique_ID", "a"), ("Lane", "-one")], False),
        ([("Lane", "-two")], False),  # nothing positive has matched
    ],
)
def test_filters(filters: list[tuple[str, str]], passes: bool) -> None:
    assert Subscription(filters=filters).passes(event(Unique_ID="a", Lane="one")) is passes


def test_words_after_custom_are_subclasses() -> None:
    subscription = Subscription()
    subscription.add(["A", "CUSTOM", "x::y"])
    assert subscription.wants("A", "")
    assert subscription.wants("CUSTOM", "x::y")
    assert not subscription.wants("CUSTOM", "x::z")
    subscription.remove(["A"])
    assert not subscription.wants("A", "")


def test_an_injected_line_end_stays_inside_its_value() -> None:
    frame = event(Name="a\nEvent-Name: FAKE").frame("plain").decode()
    assert "\nEvent-Name: FAKE" not in frame
    assert "a%0AEvent-Name%3A%20FAKE" in frame


def test_a_sequence_number_is_used_up_although_nobody_listens() -> None:
    bus = EventBus("core", "host", lambda: time.time_ns() // 1000)
    bus.fire("A", list)
    bus.fire("B", list)
    assert bus.sequence == 2


def test_the_channel_table_lags() -> None:
    now = [0.0]
    table = ChannelTable(0.5, lambda: now[0])
    table.put("u", {"uuid": "u"})
    assert render("channels", table.rows(), ["as", "json"]) == '{"row_count": 0}\n'
    now[0] = 0.6
    assert table.rows() == [{"uuid": "u"}]
    table.put("u", None)
    assert len(table.rows()) == 1
    now[0] = 1.2
    assert table.rows() == []


def test_faults_come_from_their_seed() -> None:
    def story(seed: int) -> list[tuple[float, ...]]:
        faults = Faults(random.Random(seed))
        for name in ("drop_events", "duplicate_events", "shuffle_events"):
            faults.set(name, 0.3)
        return [tuple(delay for delay, _ in faults.events(b"x")) for _ in range(200)]

    assert story(1) == story(1)
    assert story(1) != story(2)
    assert {(), (0.0,), (0.0, 0.0), (SHUFFLE_S,)} <= set(story(1))
    with pytest.raises(ValueError, match="unknown fault"):
        Faults(random.Random(1)).set("nonsense", 1)


def test_a_tone_is_found_again_through_g711_and_resampling() -> None:
    sound = pcm.tone(440, 0.5)
    assert pcm.goertzel(pcm.from_ulaw(pcm.to_ulaw(sound)), 440) > 0.95
    assert pcm.goertzel(sound, 700) < 0.05
    assert pcm.goertzel(pcm.resample(sound, 8000, 16000), 440, 16000) > 0.95
    assert pcm.goertzel(pcm.silence(0.5), 440) == 0.0
    assert len(pcm.tone_stream("%(400,100,440)")) == 8000
    assert {len(frame) for frame in pcm.frames(sound)} == {320}


def test_ulaw_is_within_its_step_of_every_sample() -> None:
    samples = pcm.pack(list(range(-32000, 32001, 250)))
    back = pcm.unpack(pcm.from_ulaw(pcm.to_ulaw(samples)))
    assert all(abs(a - b) <= max(8, abs(a) // 16) for a, b in zip(pcm.unpack(samples), back, strict=True))


def test_digest_answers_its_own_challenge() -> None:
    challenge = 'Digest realm="a", nonce="n", algorithm=MD5'
    answer = digest.parse_params(digest.authorization(challenge, "INVITE", "sip:x@h", "u", "p"))
    assert answer["response"] == digest.response_of(answer, "INVITE", "sip:x@h", "u", "p")
    assert answer["response"] != digest.response_of(answer, "INVITE", "sip:x@h", "u", "other")
