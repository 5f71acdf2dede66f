"""The commands Trunkline may give a switch: one builder each, and no other way for text to reach the event socket.

Those of a subject of their own are in originate, audio_fork and gateway_commands; whoever sends one takes it from here.

Every builder raises :class:`CommandError` naming the field; none escapes anything, because originate alone parses its
text in several passes with different rules. Sources: mod_event_socket, mod_commands, mod_hash, mod_sofia,
mod_audio_fork and the recorded traces.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Sequence
from uuid import UUID

from controller.audio_fork import audio_fork_start, audio_fork_stop
from controller.esl_wire import Command, CommandError, command, matcher, names, one_of, uuid, whole, wire
from controller.gateway_commands import acl_reload, gateway_kill, gateway_list, gateway_rescan, gateway_status
from controller.originate import originate

__all__ = [
    "Command",
    "CommandError",
    "acl_reload",
    "audio_fork_start",
    "audio_fork_stop",
    "gateway_kill",
    "gateway_list",
    "gateway_rescan",
    "gateway_status",
    "originate",
    "wire",
]  # and every builder below

NOBODY = UUID(int=0)  # a channel that never exists: the cheapest question there is

_realm = matcher(r"[a-z]{1,32}", "a realm of 1 to 32 letters a-z")
_digits = matcher(r"[0-9A-D*#w]{1,32}", "1 to 32 of 0-9 A-D * # w")
_tag = matcher(r"[A-Za-z0-9._-]{1,64}", "1 to 64 of A-Z a-z 0-9 . _ -")
_moment = matcher(r"[0-9]{1,11}", "seconds since 1970")
_reason = matcher(r"[a-z][a-z_]{0,63}", "a reason of a-z and _, at most 64")
_file = matcher(r"/[A-Za-z0-9._/-]{1,254}", "an absolute path of A-Z a-z 0-9 . _ / -, at most 255")


HANGUP_CAUSES = names(
    "ALLOTTED_TIMEOUT CALL_REJECTED MANAGER_REQUEST NORMAL_CIRCUIT_CONGESTION NORMAL_CLEARING NORMAL_TEMPORARY_FAILURE"
    " NORMAL_UNSPECIFIED NO_ANSWER ORIGINATOR_CANCEL PROGRESS_TIMEOUT RECOVERY_ON_TIMER_EXPIRE UNALLOCATED_NUMBER USER_BUSY"
)
REQUESTERS = names("customer agent operator platform")
#: The only variables ever set on a live channel: notes of ours that its last event then carries.
NOTES: dict[str, Callable[[str, str], str]] = {
    "trunkline_hangup_by": lambda name, value: one_of(name, value, REQUESTERS),
    "trunkline_end_reason": _reason,
    "trunkline_relay_until": _moment,
    "trunkline_action": matcher(r"[0-9a-f-]{36}", "a UUID"),
}
READABLE_VARIABLES = names(
    "accountcode endpoint_disposition hangup_cause presence_data read_codec read_rate rtp_use_codec_string"
    " sip_call_id sip_gateway_name sip_hangup_disposition sip_term_status trunkline_attempt trunkline_call"
    " trunkline_hangup_by trunkline_end_reason"
)
GLOBALS = names("core_uuid hostname send_silence_when_idle switchname")


# --- tombstones ------------------------------------------------------------------------------------------------------


def hash_insert(realm: str, attempt_id: UUID, fence: int) -> Command:
    """The tombstone: written before the originate on the same link, it proves later whether that was sent."""
    value = whole("fence", fence, 0, 2**63 - 1)
    return command("hash_insert", f"api hash insert/{_key(realm, attempt_id)}/{value}")


def hash_select(realm: str, attempt_id: UUID) -> Command:
    """The fence in the tombstone, or the empty text when there is none: see esl_replies.fence."""
    return command("hash_select", f"api hash select/{_key(realm, attempt_id)}", empty_ok=True)


def hash_delete(realm: str, attempt_id: UUID) -> Command:
    """Once the end is committed. A tombstone that is not there answers ``-ERR Not found``."""
    return command("hash_delete", f"api hash delete/{_key(realm, attempt_id)}")


def _key(realm: str, attempt_id: UUID) -> str:
    return f"{_realm('realm', realm)}/{uuid('attempt_id', attempt_id)}"


# --- a channel -------------------------------------------------------------------------------------------------------


def uuid_kill(attempt_id: UUID, cause: str = "NORMAL_CLEARING") -> Command:
    """Hang up: CANCEL before the answer, BYE after it."""
    return command("uuid_kill", f"api uuid_kill {uuid('attempt_id', attempt_id)} {one_of('cause', cause, HANGUP_CAUSES)}")


def uuid_setvar(attempt_id: UUID, name: str, value: str) -> Command:
    """A note on the channel (see NOTES): who hangs up, and why (write it just before uuid_kill); which relay carries it;
    which action is carried out (write it just before).
    """
    value = NOTES[one_of("name", name, frozenset(NOTES))](name, value)
    return command("uuid_setvar", f"api uuid_setvar {uuid('attempt_id', attempt_id)} {name} {value}")


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


def uuid_bridge(attempt_id: UUID, other_id: UUID) -> Command:
    """Let two answered channels hear each other; what they did before is over, and the hangup of one ends the other."""
    if attempt_id == other_id:
        raise CommandError("other_id: a channel is not bridged to itself")
    return command("uuid_bridge", f"api uuid_bridge {uuid('attempt_id', attempt_id)} {uuid('other_id', other_id)}")


def uuid_send_dtmf(attempt_id: UUID, digits: str, tone_ms: int | None = None) -> Command:
    """Press keys towards the callee, one after the other; ``w`` is a pause of half a second. ``tone_ms``: each key so long;
    None: as the switch has it, 250 ms. It takes what is 50 or less for its own.
    """
    keys = _digits("digits", digits)
    tone = "" if tone_ms is None else f"@{whole('tone_ms', tone_ms, 60, 1000)}"
    return command("uuid_send_dtmf", f"api uuid_send_dtmf {uuid('attempt_id', attempt_id)} {keys}{tone}")


def playback(attempt_id: UUID, path: str, tag: str, *, under: Sequence[str]) -> Command:
    """Queue a file behind what plays, without a gap. It must lie in one of the directories ``under``.

    ``tag`` returns in its events as Application-UUID. By ``sendmsg`` with event-lock, never uuid_broadcast, which
    starts every file 180 ms late.
    """
    _check_path(path, under)
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


def uuid_displace(attempt_id: UUID, path: str, *, under: Sequence[str]) -> Command:
    """Mix what a pipe (``.raw``: L16, 8,000 a second) holds into whatever the channel sends, 20 ms a frame, until the pipe
    is empty and nobody has it open for writing. ``m``: mix, else the callee is silenced; ``f``: before a recording, which
    would not have it.

    There must be somebody who has it open for writing until the reply has come: the switch waits for one.
    """
    _check_path(path, under)
    return command("uuid_displace", f"api uuid_displace {uuid('attempt_id', attempt_id)} start {path} 0 mf")


def _check_path(path: str, under: Sequence[str]) -> None:
    roots = [posixpath.normpath(_file("under", directory)) for directory in under]
    plain = posixpath.normpath(_file("path", path)) == path and not path.startswith("//")
    if not plain or not any(path.startswith(root + "/") for root in roots):
        raise CommandError(f"path: give the plain path of a file under {' or '.join(roots) or 'some directory'}")


def hangup(attempt_id: UUID, cause: str = "NORMAL_CLEARING") -> Command:
    """Hang up in the channel's own thread, behind nothing: also a channel that plays ends at once."""
    return command(
        "hangup",
        f"sendmsg {uuid('attempt_id', attempt_id)}",
        "call-command: hangup",
        f"hangup-cause: {one_of('cause', cause, HANGUP_CAUSES)}",
    )


# --- the switch ------------------------------------------------------------------------------------------------------


def show_channels() -> Command:
    """Every channel as JSON: see esl_replies.channels. Long on a full switch; lags by up to a second."""
    return command("show_channels", "api show channels as json")


def status() -> Command:
    return command("status", "api status")


def version() -> Command:
    return command("version", "api version")


def global_getvar(name: str) -> Command:
    """A global variable; ``core_uuid`` is the id of the running process: another one means a restart."""
    return command("global_getvar", f"api global_getvar {one_of('name', name, GLOBALS)}", empty_ok=True)
