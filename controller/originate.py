"""``bgapi originate``: one INVITE transaction to one gateway, worded as its carrier wants it.

Every value is allow-listed here, whatever was checked before: originate parses its text in several passes with different
rules, and nothing is escaped.
"""

from __future__ import annotations

from uuid import UUID

from calls.dialing import dialed, identity, shown
from calls.ids import parse_ref
from calls.numbers import NumberError, parse_caller_id, parse_destination
from calls.trunk import CODECS, PLAIN, Trunk
from controller.audio_fork import fork_start
from controller.esl_wire import Command, CommandError, command, matcher, one_of, uuid, whole
from controller.gateway_commands import gateway_named

_token = matcher(r"[A-Za-z0-9._:@+-]{1,128}", "1 to 128 of A-Z a-z 0-9 . _ : @ + -")
_tenant = matcher(r"[a-z0-9][a-z0-9-]{0,62}", "a tenant name: a-z, 0-9 and -, at most 63")
_dialed = matcher(r"[0-9*#]{0,16}\+?[0-9]{3,24}", "a number of digits after at most 16 of 0-9 * #")
_user = matcher(r"[A-Za-z0-9._+-]{1,64}", "1 to 64 of A-Z a-z 0-9 . _ + -")
_shown = matcher(r"\+?[0-9]{3,24}", "a number of digits")

#: ms a call that is on hold may be without audio.
HOLD_TIMEOUT_MS = 600_000


def originate(
    *,
    attempt_id: UUID,
    call_ref: str,
    tenant: str,
    gateway: str,
    to_number: str,
    from_number: str,
    originate_timeout_s: int,
    max_duration_s: int,
    fork_url: str | None = None,
    trunk: Trunk = PLAIN,
    user: str | None = None,
) -> Command:
    """The job's id is the attempt's, and so are channel, Call-ID and X-Trunkline-Attempt.

    Numbers are exact E.164, parsed again here and written as ``trunk`` wants them. ``originate_timeout_s`` runs from the
    INVITE (time to the first 18x plus ring time); ``max_duration_s`` from the answer. Both are kept by the switch itself,
    controller or not, and so is the end of a call whose audio stopped. ``fork_url``: open the audio fork to the relay on
    answer. ``show channels`` shows the call (presence_data), the tenant (accountcode) and the caller id. No ``|``, no ``,``
    between legs and redirects fatal: this command can never send a second INVITE transaction. ``user``: what is dialed
    there, whatever the number is.
    """
    attempt = uuid("attempt_id", attempt_id)
    try:
        number = dialed(parse_destination(to_number).e164, trunk)
        caller = shown(parse_caller_id(from_number).e164, trunk)
        call = parse_ref("call", call_ref)
        whom = identity(trunk)
    except (NumberError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise CommandError(f"to_number, from_number, call_ref or trunk: {error}") from None
    caller = _shown("from_number", caller)
    variables = {
        "origination_uuid": attempt,
        "sip_invite_call_id": attempt,
        "trunkline_attempt": attempt,
        "trunkline_call": str(call),
        "presence_data": call_ref,
        "accountcode": _tenant("tenant", tenant),
        "originate_timeout": str(whole("originate_timeout_s", originate_timeout_s, 1, 300)),
        "media_timeout": str(whole("media_timeout_s", trunk.media_timeout_s, 10, 3600) * 1000),
        "media_hold_timeout": str(HOLD_TIMEOUT_MS),
        "ignore_early_media": "true",
        "outbound_redirect_fatal": "true",
        "sofia_session_timeout": "0",  # asks for no session timer: a 422 would be answered by up to three more INVITEs
        "playback_terminators": "none",  # the default, *, would let a key cut the agent off
        "origination_caller_id_number": caller,
        "origination_caller_id_name": caller,
        **whom,
        "sip_h_X-Trunkline-Attempt": attempt,
    }
    parts = [f"{name}={_token(name, value)}" for name, value in variables.items()]
    parts.append(f"absolute_codec_string={_codecs(trunk)}")
    # The switch spells it with two T; a cause it does not know silently becomes NORMAL_CLEARING.
    parts.append(f"execute_on_answer='sched_hangup +{whole('max_duration_s', max_duration_s, 1, 86_400)} ALLOTTED_TIMEOUT'")
    if fork_url is not None:
        parts.append(f"api_on_answer='{fork_start(attempt_id, fork_url, 'trunkline', 8000)}'")
    # In a URI a # begins something else; the carrier reads it as it was meant.
    whom_there = _dialed("to_number", number).replace("#", "%23") if user is None else _user("user", user)
    target = f"sofia/gateway/{gateway_named('gateway', gateway)}/{whom_there}"
    return command("originate", f"bgapi originate {{{','.join(parts)}}}{target} &park()", f"Job-UUID: {attempt}")


def _codecs(trunk: Trunk) -> str:
    """The only codecs that are offered, in this order."""
    try:
        names = [one_of("codecs", codec, CODECS) for codec in trunk.codecs]
    except TypeError:
        raise CommandError("codecs: give a list of names") from None
    if not 1 <= len(names) <= len(CODECS):
        raise CommandError(f"codecs: give 1 to {len(CODECS)} of {', '.join(sorted(CODECS))}")
    # ^^: makes the colon the separator of this one list; a comma would end the variable.
    return "^^:" + ":".join(names) if len(names) > 1 else names[0]
