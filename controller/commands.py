"""The commands Trunkline may give a switch: one builder each, and no other way for text to reach the event socket.

Every builder raises :class:`CommandError` naming the field; none escapes anything, because originate alone parses its
text in several passes with different rules. Sources: mod_event_socket, mod_commands, mod_hash, mod_sofia, mod_audio_fork
and the recorded traces.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from calls.ids import call_ref
from calls.numbers import NumberError, parse_caller_id, parse_destination
from controller.esl_wire import Command, CommandError, check_wire, command, gate, matcher, one_of, uuid, whole

__all__ = ["Command", "CommandError", "check_wire", "gate"]  # and every builder below

NOBODY = UUID(int=0)  # a channel that never exists: the cheapest question there is

_token = matcher(r"[A-Za-z0-9._:@+-]{1,128}", "1 to 128 of A-Z a-z 0-9 . _ : @ + -")
_gateway = matcher(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}", "a gateway name: letters, digits, _ and -, at most 32")
_tenant = matcher(r"[a-z0-9][a-z0-9-]{0,62}", "a tenant name: a-z, 0-9 and -, at most 63")
_realm = matcher(r"[a-z]{1,32}", "a realm of 1 to 32 letters a-z")
_bugname = matcher(r"[a-z][a-z0-9_]{0,31}", "a bug name: a-z, 0-9 and _, at most 32")
_digits = matcher(r"[0-9A-D*#]{1,32}", "1 to 32 of 0-9 A-D * #")
_tag = matcher(r"[A-Za-z0-9-]{1,64}", "1 to 64 of A-Z a-z 0-9 -")
_file = matcher(r"/[A-Za-z0-9._/-]{1,254}", "an absolute path of A-Z a-z 0-9 . _ / -, at most 255")
_secret = matcher(r"[\x21-\x7e]{1,128}", "1 to 128 printable ASCII characters, no space")
_user = matcher(r"[A-Za-z0-9._-]{1,64}@[A-Za-z0-9._-]{1,128}", "user@domain")

CODECS = frozenset({"PCMU", "PCMA", "G722", "OPUS"})
HANGUP_CAUSES = frozenset(
    "ALLOTTED_TIMEOUT CALL_REJECTED MANAGER_REQUEST NORMAL_CLEARING NORMAL_UNSPECIFIED NO_ANSWER ORIGINATOR_CANCEL"
    " PROGRESS_TIMEOUT RECOVERY_ON_TIMER_EXPIRE USER_BUSY".split()
)
REQUESTERS = frozenset({"customer", "agent", "operator", "platform"})
READABLE_VARIABLES = frozenset(
    "accountcode endpoint_disposition hangup_cause presence_data read_codec read_rate rtp_use_codec_string"
    " sip_call_id sip_gateway_name sip_hangup_disposition sip_term_status trunkline_attempt trunkline_call"
    " trunkline_hangup_by".split()
)
EVENTS = frozenset(
    "BACKGROUND_JOB CHANNEL_ANSWER CHANNEL_CREATE CHANNEL_DESTROY CHANNEL_EXECUTE CHANNEL_EXECUTE_COMPLETE"
    " CHANNEL_HANGUP CHANNEL_HANGUP_COMPLETE CHANNEL_PROGRESS CHANNEL_PROGRESS_MEDIA DTMF HEARTBEAT MEDIA_BUG_START"
    " MEDIA_BUG_STOP PLAYBACK_START PLAYBACK_STOP RECORD_START RECORD_STOP SHUTDOWN".split()
)
#: These carry no channel variables (switch_channel.c), so a filter on a variable removes them.
WITHOUT_VARIABLES = frozenset({"BACKGROUND_JOB", "DTMF", "HEARTBEAT", "SHUTDOWN"})
SUBCLASSES = frozenset(
    "mod_audio_fork::buffer_overrun mod_audio_fork::connect mod_audio_fork::connect_failed mod_audio_fork::disconnect"
    " mod_audio_fork::error mod_audio_fork::json mod_audio_fork::kill_audio mod_audio_fork::play_audio"
    " mod_audio_fork::transcription mod_audio_fork::transfer sofia::gateway_add sofia::gateway_delete"
    " sofia::gateway_state".split()
)


# --- dialing ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Dial:
    """One call to place. Times in seconds. ``relay_port``: open the audio fork to the relay on answer."""

    attempt_id: UUID
    call_id: UUID
    tenant: str
    number: str  # exact E.164, dialable
    caller_id: str  # exact E.164
    gateway: str
    originate_timeout_s: int  # from the INVITE: the time to the first 18x plus the ring time
    max_duration_s: int  # from the answer; the switch itself hangs up then, controller or not
    codecs: Sequence[str] = ("PCMU", "PCMA")
    relay_port: int | None = None
    bugname: str = "trunkline"


def originate(dial: Dial) -> Command:
    """``bgapi originate`` of one INVITE transaction to one gateway; its job's id is the attempt's.

    No ``|`` and no ``,`` between legs, redirects fatal: no second INVITE can leave the switch by this command.
    """
    attempt = uuid("attempt_id", dial.attempt_id)
    try:
        number = parse_destination(dial.number).e164
        caller = parse_caller_id(dial.caller_id).e164
    except (NumberError, TypeError) as error:
        raise CommandError(f"number or caller_id: {error}") from None
    if not dial.codecs:
        raise CommandError(f"codecs: give at least one of {', '.join(sorted(CODECS))}")
    codecs = [one_of("codecs", codec, CODECS) for codec in dial.codecs]
    limit = whole("max_duration_s", dial.max_duration_s, 1, 86_400)
    call = uuid("call_id", dial.call_id)
    variables = {
        "origination_uuid": attempt,
        "sip_invite_call_id": attempt,
        "trunkline_attempt": attempt,
        "trunkline_call": call,
        "presence_data": call_ref(dial.call_id),
        "accountcode": _tenant("tenant", dial.tenant),
        "originate_timeout": str(whole("originate_timeout_s", dial.originate_timeout_s, 1, 300)),
        "ignore_early_media": "true",
        "outbound_redirect_fatal": "true",
        "origination_caller_id_number": caller,
        "origination_caller_id_name": caller,
        "sip_h_X-Trunkline-Attempt": attempt,
    }
    parts = [f"{name}={_token(name, value)}" for name, value in variables.items()]
    # ^^: makes the colon the separator of this one list; a comma would end the variable.
    parts.append("absolute_codec_string=" + ("^^:" + ":".join(codecs) if len(codecs) > 1 else codecs[0]))
    # The switch spells it with two T; a cause it does not know silently becomes NORMAL_CLEARING.
    parts.append(f"execute_on_answer='sched_hangup +{limit} ALLOTTED_TIMEOUT'")
    if dial.relay_port is not None:
        parts.append(f"api_on_answer='{_fork_start(dial.attempt_id, dial.relay_port, dial.bugname, 8000)}'")
    target = f"sofia/gateway/{_gateway('gateway', dial.gateway)}/{number}"
    return command(
        "originate", f"bgapi originate {{{','.join(parts)}}}{target} &park()", f"Job-UUID: {attempt}"
    )


def tombstone(realm: str, attempt_id: UUID, fence: int) -> Command:
    """Written before the originate, on the same link: proves later that it was, or was not, sent."""
    value = whole("fence", fence, 0, 2**63 - 1)
    return command("tombstone", f"api hash insert/{_realm('realm', realm)}/{uuid('attempt_id', attempt_id)}/{value}")


def tombstone_get(realm: str, attempt_id: UUID) -> Command:
    """The fence in the tombstone, or the empty text when there is none."""
    key = f"{_realm('realm', realm)}/{uuid('attempt_id', attempt_id)}"
    return command("tombstone_get", f"api hash select/{key}", empty_ok=True)


def tombstone_delete(realm: str, attempt_id: UUID) -> Command:
    """Once the end is committed. A tombstone that is not there is CommandRefused (``-ERR Not found``)."""
    key = f"{_realm('realm', realm)}/{uuid('attempt_id', attempt_id)}"
    return command("tombstone_delete", f"api hash delete/{key}")


# --- a channel -------------------------------------------------------------------------------------------------------


def uuid_kill(attempt_id: UUID, cause: str = "NORMAL_CLEARING") -> Command:
    """Hang up: CANCEL before the answer, BYE after it."""
    return command("uuid_kill", f"api uuid_kill {uuid('attempt_id', attempt_id)} {one_of('cause', cause, HANGUP_CAUSES)}")


def hangup_by(attempt_id: UUID, who: str) -> Command:
    """Note on the channel who asks for the hangup; the end event carries it. Write it just before uuid_kill."""
    who = one_of("who", who, REQUESTERS)
    return command("hangup_by", f"api uuid_setvar {uuid('attempt_id', attempt_id)} trunkline_hangup_by {who}")


def uuid_exists(attempt_id: UUID) -> Command:
    """``true`` or ``false``, at once (``show channels`` lags by up to a second)."""
    return command("uuid_exists", f"api uuid_exists {uuid('attempt_id', attempt_id)}")


def ping() -> Command:
    """The cheapest question that passes through the switch's own tables."""
    return command("ping", f"api uuid_exists {NOBODY}")


def uuid_getvar(attempt_id: UUID, name: str) -> Command:
    """One channel variable; ``_undef_`` when it is not set."""
    name = one_of("name", name, READABLE_VARIABLES)
    return command("uuid_getvar", f"api uuid_getvar {uuid('attempt_id', attempt_id)} {name}", empty_ok=True)


def uuid_dump(attempt_id: UUID) -> Command:
    """Everything of a channel, as the text of a plain event: see frames.parse_plain."""
    return command("uuid_dump", f"api uuid_dump {uuid('attempt_id', attempt_id)}")


def uuid_break(attempt_id: UUID) -> Command:
    """Stop what is playing at once and drop what is queued behind it."""
    return command("uuid_break", f"api uuid_break {uuid('attempt_id', attempt_id)} all")


def send_dtmf(attempt_id: UUID, digits: str) -> Command:
    """Press keys towards the callee."""
    return command("send_dtmf", f"api uuid_send_dtmf {uuid('attempt_id', attempt_id)} {_digits('digits', digits)}")


def playback(attempt_id: UUID, path: str, directory: str, tag: str) -> Command:
    """Queue a file of ``directory`` behind what plays, without a gap. ``tag`` returns as Application-UUID.

    ``sendmsg`` with event-lock, never uuid_broadcast, which starts 180 ms late after every file.
    """
    root = posixpath.normpath(_file("directory", directory))
    if root in ("/", "//") or posixpath.normpath(_file("path", path)) != path or not path.startswith(root + "/"):
        raise CommandError(f"path: give a plain path of a file under {root}")
    return command(
        "playback",
        f"sendmsg {uuid('attempt_id', attempt_id)}",
        "call-command: execute",
        "execute-app-name: playback",
        f"execute-app-arg: {path}",
        "event-lock: true",
        "async: true",
        f"Event-UUID: {_tag('tag', tag)}",
    )


def hangup(attempt_id: UUID, cause: str = "NORMAL_CLEARING") -> Command:
    """Hang up in the channel's own thread, behind nothing: also a channel that plays ends at once."""
    return command(
        "hangup",
        f"sendmsg {uuid('attempt_id', attempt_id)}",
        "call-command: hangup",
        f"hangup-cause: {one_of('cause', cause, HANGUP_CAUSES)}",
    )


def _fork_start(attempt_id: UUID, port: int, bugname: str, rate: int) -> str:
    """The only text of its kind: a start without a rate kills the switch's whole process."""
    channel = uuid("attempt_id", attempt_id)
    port = whole("relay_port", port, 1, 65_535)
    if rate not in (8000, 16000):
        raise CommandError("rate: give 8000 or 16000")
    url = f"ws://127.0.0.1:{port}/fork/{channel}"
    return f"uuid_audio_fork {channel} start {url} mono {rate // 1000}k {_bugname('bugname', bugname)}"


def fork_start(attempt_id: UUID, port: int, bugname: str = "trunkline", rate: int = 8000) -> Command:
    """Open the audio fork to the relay on loopback. Only for an answered channel: without SDP it kills the switch."""
    return command("fork_start", f"api {_fork_start(attempt_id, port, bugname, rate)}")


def fork_stop(attempt_id: UUID, bugname: str = "trunkline") -> Command:
    """Close the audio fork; needed before it can be started again, also when the socket was lost."""
    name = _bugname("bugname", bugname)
    return command("fork_stop", f"api uuid_audio_fork {uuid('attempt_id', attempt_id)} stop {name}")


# --- the switch ------------------------------------------------------------------------------------------------------


def show_channels() -> Command:
    """Every channel as JSON: see esl_replies.channels. Long on a full switch; lags by up to a second."""
    return command("show_channels", "api show channels as json")


def show_channel_count() -> Command:
    """How many channels there are, as JSON."""
    return command("show_channel_count", "api show channels count as json")


def status() -> Command:
    return command("status", "api status")


def version() -> Command:
    return command("version", "api version")


def core_uuid() -> Command:
    """The id of the switch's running process: another one means a restart."""
    return command("core_uuid", "api global_getvar core_uuid", empty_ok=True)


def gateway_status(gateway: str) -> Command:
    """State, ping and counters of one gateway, as XML."""
    return command("gateway_status", f"api sofia xmlstatus gateway {_gateway('gateway', gateway)}")


def pause_outbound(paused: bool) -> Command:
    """Let the switch refuse, or allow again, every new outbound call."""
    return command("pause_outbound", f"api fsctl {'pause' if paused else 'resume'} outbound")


# --- the link --------------------------------------------------------------------------------------------------------


def auth(password: str) -> Command:
    return command("auth", f"auth {_secret('esl_password', password)}")


def userauth(user: str, password: str) -> Command:
    """Log in as a user of the directory, whose allowed commands the switch itself limits."""
    if ":" in password:
        raise CommandError("esl_password: the password of a directory user may hold no colon")
    return command("userauth", f"userauth {_user('esl_user', user)}:{_secret('esl_password', password)}")


def subscribe(events: Sequence[str], subclasses: Sequence[str] = ()) -> Command:
    """Ask for these events, as JSON (plain would cost several times the time to decode)."""
    names = [one_of("events", name, EVENTS) for name in events]
    custom = [one_of("subclasses", name, SUBCLASSES) for name in subclasses]
    if not names and not custom:
        raise CommandError("events: give at least one")
    return command("subscribe", " ".join(["event json", *names, *(["CUSTOM", *custom] if custom else [])]))


def filter_event(name: str) -> Command:
    """Let events of this name through. The first filter of a link removes every event that passes none."""
    return command("filter", f"filter Event-Name {one_of('name', name, EVENTS)}")


def filter_subclass(name: str) -> Command:
    """Let CUSTOM events of this subclass through."""
    return command("filter", f"filter Event-Subclass {one_of('name', name, SUBCLASSES)}")


def filter_our_calls() -> Command:
    """Let events of channels through that this system originated, whatever their attempt."""
    return command("filter", "filter variable_trunkline_attempt /.+/")
