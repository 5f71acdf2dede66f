"""What is said on a link about the link itself: who we are, and which events we want to hear. See commands.py."""

from __future__ import annotations

from collections.abc import Sequence

from controller.esl_wire import Command, CommandError, command, matcher, names, one_of

_user = matcher(r"[A-Za-z0-9._-]{1,64}@[A-Za-z0-9._-]{1,128}", "user@domain")
_secret = matcher(r"[\x21-\x7e]{1,128}", "1 to 128 printable ASCII characters, no space")


EVENTS = names(
    "BACKGROUND_JOB CHANNEL_ANSWER CHANNEL_BRIDGE CHANNEL_CREATE CHANNEL_DESTROY CHANNEL_EXECUTE CHANNEL_EXECUTE_COMPLETE"
    " CHANNEL_HANGUP CHANNEL_HANGUP_COMPLETE CHANNEL_PARK CHANNEL_PROGRESS CHANNEL_PROGRESS_MEDIA DTMF HEARTBEAT"
    " MEDIA_BUG_START MEDIA_BUG_STOP PLAYBACK_START PLAYBACK_STOP RECORD_START RECORD_STOP SHUTDOWN"
)
#: These carry no channel variables (switch_channel.c), so a filter on a variable removes them.
WITHOUT_VARIABLES = names("BACKGROUND_JOB DTMF HEARTBEAT SHUTDOWN")
SUBCLASSES = names(
    "mod_audio_fork::buffer_overrun mod_audio_fork::connect mod_audio_fork::connect_failed mod_audio_fork::disconnect"
    " mod_audio_fork::error mod_audio_fork::json mod_audio_fork::kill_audio mod_audio_fork::play_audio"
    " mod_audio_fork::transcription mod_audio_fork::transfer sofia::gateway_add sofia::gateway_delete"
    " sofia::gateway_state trunkline::inbound"
)


def auth(*, user: str, password: str) -> Command:
    """Log in: by the password alone, or as ``user@domain`` of the directory, whom the switch itself can limit."""
    secret = _secret("esl_password", password)
    if not user:
        return command("auth", f"auth {secret}")
    if ":" in secret:
        raise CommandError("esl_password: the password of a directory user may hold no colon")
    return command("auth", f"userauth {_user('esl_user', user)}:{secret}")


def subscribe(events: Sequence[str], subclasses: Sequence[str] = ()) -> Command:
    """Ask for these events, as JSON (plain would cost several times the time to decode)."""
    wanted = [one_of("events", name, EVENTS) for name in events]
    custom = [one_of("subclasses", name, SUBCLASSES) for name in subclasses]
    if not wanted and not custom:
        raise CommandError("events: give at least one")
    return command("subscribe", " ".join(["event json", *wanted, *(["CUSTOM", *custom] if custom else [])]))


def filter_event(name: str) -> Command:
    """Let events of this name through. The first filter of a link removes every event that passes none."""
    return command("filter", f"filter Event-Name {one_of('name', name, EVENTS)}")


def filter_subclass(name: str) -> Command:
    """Let CUSTOM events of this subclass through."""
    return command("filter", f"filter Event-Subclass {one_of('name', name, SUBCLASSES)}")


def filter_our_calls() -> Command:
    """Let events of channels through that this system originated, whatever their attempt."""
    return command("filter", "filter variable_trunkline_attempt /.+/")
