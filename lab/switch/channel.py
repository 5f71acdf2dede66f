"""One channel: its states, headers and variables, and the life of an outbound leg event by event."""

from __future__ import annotations

import asyncio
import itertools
import math
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.sip import message as sip
from lab.sip.sdp import MediaLine, offer_sdp
from lab.switch import causes, inbound_channel, variables
from lab.switch.apps import Apps
from lab.switch.callee import Callee
from lab.switch.dialstring import Dial
from lab.switch.events import Pairs
from lab.switch.leg import InviteLeg
from lab.switch.show import Row

if TYPE_CHECKING:
    from lab.switch.audio_fork import AudioFork
    from lab.switch.core import Switch
    from lab.switch.inbound import InboundLeg
    from lab.switch.recording import Recording

STATE_NUMBERS = {"CS_NEW": 0, "CS_INIT": 1, "CS_ROUTING": 2, "CS_EXECUTE": 4, "CS_CONSUME_MEDIA": 7, "CS_HANGUP": 10,
                 "CS_REPORTING": 11, "CS_DESTROY": 12, "CS_NONE": 13}
CALLSTATE_NUMBERS = {"DOWN": 0, "DIALING": 1, "RINGING": 2, "EARLY": 3, "ACTIVE": 4, "HELD": 5, "RING_WAIT": 6,
                     "HANGUP": 7}
_DESTROY_AFTER_S = 0.015  # between the report and the moment the UUID is free again
_ports = itertools.cycle(range(20000, 29998, 2))


@dataclass(slots=True)
class Times:
    """Microseconds since the epoch, 0 = never."""

    created: int = 0
    answered: int = 0
    progress: int = 0
    progress_media: int = 0
    hangup: int = 0


class Channel:
    """Made by `Channel.outbound` (originate) or `Channel.inbound`."""

    def __init__(self, switch: Switch, channel_uuid: str, name: str, destination: str) -> None:
        self.switch = switch
        self.uuid = channel_uuid
        self.name = name
        self.destination = destination
        self.session_id = switch.next_session_id()
        self.vars: dict[str, str] = {}
        self.state, self.state_number = "CS_NONE", 1
        self.callstate = "DOWN"
        self.answer_state = "ringing"
        self.cause = ""
        self.direction = "outbound"
        self.hit_dialplan = False
        self.caller_name, self.caller_number = "", ""
        self.callee_name, self.callee_number = "Outbound Call", destination
        self.orig_name = self.orig_number = ""
        self.username = ""
        self.presence = ""
        self.network_addr = ""
        self.times = Times(created=switch.wall_us())
        self.has_media = False
        self.flipped = False
        self.hungup = False
        self.parked = ""
        self.last_app = self.last_arg = ""
        self.local_port = next(_ports)
        self.peer: tuple[str, int] = ("", 0)
        self.leg: InviteLeg | InboundLeg | None = None
        self.callee = Callee(self)
        self.apps = Apps(self)
        self.forks: dict[str, AudioFork] = {}
        self.recordings: dict[str, Recording] = {}
        self.originated: asyncio.Future[str] | None = None
        self.timers: list[asyncio.TimerHandle] = []
        self._dial: Dial | None = None
        self._redirect_vars: dict[str, str] = {}
        self._remote_end = ""

    # --- making ---------------------------------------------------------------------------------------------------

    @classmethod
    def outbound(cls, switch: Switch, dial: Dial, channel_uuid: str) -> Channel:
        """Create the session, send the INVITE, tell of it. `originated` becomes `+OK uuid` or `-ERR CAUSE`."""
        given = dial.variables
        channel = cls(switch, channel_uuid, f"sofia/{switch.sofia.name}/{dial.number}", dial.number)
        channel._dial = dial
        channel.originated = switch.loop.create_future()
        channel.caller_name = channel.orig_name = given.get("origination_caller_id_name", "")
        channel.caller_number = channel.orig_number = given.get("origination_caller_id_number", "0000000000")
        switch.add(channel)
        gateway = switch.sofia.gateways[dial.gateway]
        gateway.calls_out += 1
        codecs = [c.split("@")[0] for c in given.get("absolute_codec_string", "PCMU,PCMA").split(",")]
        sdp = offer_sdp(switch.sofia.host, channel.local_port, channel.times.created // 1_000_000, codecs)
        channel.fire("CHANNEL_OUTGOING", verbose=False)
        channel.vars = variables.of_outgoing(channel, given, dial.gateway, sdp)
        channel.presence = given.get("presence_data", "")
        channel.run_state("CS_INIT", 1)
        headers = [(name[6:], value) for name, value in given.items() if name.startswith("sip_h_")]
        leg = InviteLeg(switch.sofia, gateway, channel, dial.number, given.get("sip_invite_call_id", str(uuid.uuid4())),
                        channel.caller_name, channel.caller_number, variables.with_lab_offer(sdp), headers)
        channel.leg = leg
        switch.sofia.legs[leg.call_id] = leg
        leg.start()
        channel.peer = leg.target
        channel.state_number = 2
        channel.fire("CHANNEL_CREATE")
        channel.fire("CHANNEL_ORIGINATE")
        channel.run_state("CS_ROUTING", 2)
        channel.run_state("CS_CONSUME_MEDIA")
        channel.publish_row()
        channel._arm_timeout(float(given.get("originate_timeout") or dial.timeout))
        return channel

    @classmethod
    def inbound(cls, switch: Switch, leg: InboundLeg, media: MediaLine | None) -> Channel:
        return inbound_channel.begin(cls, switch, leg, media)

    def _arm_timeout(self, seconds: float) -> None:
        """FreeSWITCH compares whole seconds of the clock, so a timeout comes up to one second early."""
        now = self.switch.wall_us() / 1_000_000
        self.later(max(0.0, math.floor(now) + seconds - now), self._originate_timeout)

    def _originate_timeout(self) -> None:
        if self.originated is not None and not self.originated.done() and not self.times.answered:
            self.hangup("NO_ANSWER")

    def later(self, delay: float, action: Callable[..., None], *arguments: object) -> None:
        self.timers.append(self.switch.loop.call_later(delay, action, *arguments))

    # --- events ---------------------------------------------------------------------------------------------------

    def fire(self, name: str, front: Pairs | None = None, back: Pairs | None = None, *, verbose: bool = True,
             body: str | None = None, subclass: str = "") -> None:
        """`front` comes before the channel's headers, `back` after its variables."""

        def build() -> Pairs:
            pairs = (front or []) + self.headers()
            if verbose:
                pairs += [(f"variable_{key}", value) for key, value in self.vars.items()]
            return pairs + (back or [])

        self.switch.bus.fire(name, build, body=body, subclass=subclass)

    def headers(self) -> Pairs:
        """switch_channel_event_set_basic_data and the caller profile."""
        pairs = [("Channel-State", self.state), ("Channel-Call-State", self.callstate),
                 ("Channel-State-Number", str(self.state_number)), ("Channel-Name", self.name),
                 ("Unique-ID", self.uuid), ("Call-Direction", self.direction),
                 ("Presence-Call-Direction", self.direction),
                 ("Channel-HIT-Dialplan", "true" if self.hit_dialplan else "false")]
        if self.presence:
            pairs.append(("Channel-Presence-Data", self.presence))
        pairs += [("Channel-Call-UUID", self.uuid), ("Answer-State", self.answer_state)]
        if self.cause:
            pairs.append(("Hangup-Cause", self.cause))
        if self.has_media:
            codec = self.vars.get("read_codec", "PCMU")
            for side in ("Read", "Write"):
                pairs += [(f"Channel-{side}-Codec-Name", codec), (f"Channel-{side}-Codec-Rate", "8000"),
                          (f"Channel-{side}-Codec-Bit-Rate", "64000")]
        return pairs + self._profile_headers()

    def _profile_headers(self) -> Pairs:
        t = self.times
        pairs = [("Caller-Direction", self.direction), ("Caller-Logical-Direction", self.direction)]
        if self.username:
            pairs += [("Caller-Username", self.username), ("Caller-Dialplan", "XML")]
        pairs += [("Caller-Caller-ID-Name", self.caller_name), ("Caller-Caller-ID-Number", self.caller_number),
                  ("Caller-Orig-Caller-ID-Name", self.orig_name),
                  ("Caller-Orig-Caller-ID-Number", self.orig_number)]
        if self.direction == "outbound":
            pairs += [("Caller-Callee-ID-Name", self.callee_name), ("Caller-Callee-ID-Number", self.callee_number)]
        if self.network_addr:
            pairs.append(("Caller-Network-Addr", self.network_addr))
        outbound = self.direction == "outbound"
        return [
            *pairs, ("Caller-ANI", self.orig_number), ("Caller-Destination-Number", self.destination),
            ("Caller-Unique-ID", self.uuid),
            ("Caller-Source", "src/switch_ivr_originate.c" if outbound else "mod_sofia"),
            ("Caller-Context", "default" if outbound else "inbound"), ("Caller-Channel-Name", self.name),
            ("Caller-Profile-Index", "1"), ("Caller-Profile-Created-Time", str(t.created)),
            ("Caller-Channel-Created-Time", str(t.created)), ("Caller-Channel-Answered-Time", str(t.answered)),
            ("Caller-Channel-Progress-Time", str(t.progress)),
            ("Caller-Channel-Progress-Media-Time", str(t.progress_media)),
            ("Caller-Channel-Hangup-Time", str(t.hangup)), ("Caller-Channel-Transfer-Time", "0"),
            ("Caller-Channel-Resurrect-Time", "0"), ("Caller-Channel-Bridged-Time", "0"),
            ("Caller-Channel-Last-Hold", "0"), ("Caller-Channel-Hold-Accum", "0"), ("Caller-Screen-Bit", "true"),
            ("Caller-Privacy-Hide-Name", "false"), ("Caller-Privacy-Hide-Number", "false"),
        ]

    def run_state(self, state: str, number: int | None = None) -> None:
        """CHANNEL_STATE; the number runs ahead of the name in places, as the real events show."""
        self.state = state
        self.state_number = STATE_NUMBERS[state] if number is None else number
        self.fire("CHANNEL_STATE", verbose=False)

    def set_callstate(self, callstate: str) -> None:
        if callstate == self.callstate:
            return
        before, self.callstate = self.callstate, callstate
        self.fire("CHANNEL_CALLSTATE", [("Original-Channel-Call-State", before),
                                        ("Channel-Call-State-Number", str(CALLSTATE_NUMBERS[callstate]))],
                  verbose=False)

    # --- what the SIP leg says ------------------------------------------------------------------------------------

    def _first_reply(self, message: sip.SipMessage) -> None:
        if not self.network_addr:
            self.network_addr = self.peer[0]
            self.vars.update(variables.of_reply(self))
        assert isinstance(self.leg, InviteLeg)
        if "sip_to_tag" not in self.vars:
            self.vars.update(variables.of_dialog(self.leg, message))

    def leg_ringing(self, message: sip.SipMessage) -> None:
        if self.hungup or self.times.progress or self.times.answered:
            return
        self._first_reply(message)
        self.times.progress = self.switch.wall_us()
        self.fire("CHANNEL_PROGRESS")
        self.set_callstate("RINGING")
        self.publish_row()

    def leg_early(self, message: sip.SipMessage, media: MediaLine) -> None:
        if self.hungup or self.times.progress_media or self.times.answered:
            return
        self._first_reply(message)
        self.times.progress_media = self.switch.wall_us()
        self.answer_state = "early"
        negotiated = variables.of_media(media, message.body, self.switch.random)
        self.vars["switch_r_sdp"] = negotiated["switch_r_sdp"]
        self.vars["ep_codec_string"] = negotiated["ep_codec_string"]
        self.vars["endpoint_disposition"] = "EARLY MEDIA"
        self.fire("CHANNEL_PROGRESS_MEDIA")
        self.set_callstate("EARLY")
        self._negotiate(media, negotiated)
        if self._dial is not None and not is_yes(self.vars.get("ignore_early_media", "")):
            self.later(self.switch.config.originate_poll_s / 2, self._originated)

    def _negotiate(self, media: MediaLine, negotiated: dict[str, str]) -> None:
        if self.has_media:
            return
        self.has_media = True
        self.vars.update(negotiated)
        self.callee.configure(media.lab)
        for _ in range(2):
            self.fire("CODEC", verbose=False)

    def leg_answered(self, message: sip.SipMessage, media: MediaLine | None) -> None:
        if self.hungup:
            return
        self._first_reply(message)
        if media is not None:
            self._negotiate(media, variables.of_media(media, message.body, self.switch.random))
            self.callee.configure(media.lab)
        self.mark_answered()
        self.later(self.switch.config.originate_poll_s / 2, self._originated)

    def mark_answered(self) -> None:
        self.times.answered = self.switch.wall_us()
        self.answer_state = "answered"
        self.fire("CHANNEL_ANSWER")
        self.callee.answered()
        for value in (self.vars[name] for name in list(self.vars) if name.startswith("execute_on_answer")):
            name, _, argument = value.replace("::", " ", 1).partition(" ")
            self.apps.run_inline(name, argument)
        self.vars["endpoint_disposition"] = "ANSWER"
        for value in (self.vars[name] for name in list(self.vars) if name.startswith("api_on_answer")):
            self.switch.run_api_inline(value)
        self.set_callstate("ACTIVE")

    def _originated(self) -> None:
        """The originate thread sees the answer: the leg is flipped and goes to its application."""
        if self.hungup or self.flipped or self._dial is None:
            return
        self.flipped = self.hit_dialplan = True
        self.vars.setdefault("endpoint_disposition", "ANSWER")
        self.vars.update({"pre_transfer_caller_id_name": self.caller_name,
                          "pre_transfer_caller_id_number": self.caller_number, "channel_cid_flipped": "yes"})
        self.caller_name, self.callee_name = self.callee_name, self.caller_name
        self.caller_number, self.callee_number = self.callee_number, self.caller_number
        self.fire("CALL_UPDATE", [("Direction", "RECV")])
        self._settle(f"+OK {self.uuid}\n")
        self.run_state("CS_EXECUTE")
        self.apps.start(self._dial.application, self._dial.argument)
        self.publish_row()

    def _settle(self, text: str) -> None:
        if self.originated is not None and not self.originated.done():
            self.originated.set_result(text)

    def leg_redirected(self, message: sip.SipMessage) -> bool:
        """True = follow it. `outbound_redirect_fatal=true` makes it the end."""
        first = message.get("contact").split(",", 1)[0].strip()
        self.vars["sip_hangup_disposition"] = "recv_refuse"
        if not is_yes(self.vars.get("outbound_redirect_fatal", "")):
            self.vars["sip_redirected_to"] = sip.uri_of(first)
            return True
        return False

    def leg_refused(self, status: int, reason: str, message: sip.SipMessage | None) -> None:
        if self.hungup:
            return
        gateway = self.switch.sofia.gateways.get(self.vars.get("sip_gateway_name", ""))
        if gateway is not None:
            gateway.failed_out += 1
        assert isinstance(self.leg, InviteLeg)
        if message is not None and not self.network_addr:
            self.network_addr = self.peer[0]
            self.vars["sip_call_id"] = self.leg.call_id
            self.vars.update(variables.of_reply(self))
        self.vars["sip_hangup_disposition"] = "recv_refuse"
        if 300 <= status < 400 and message is not None:
            contacts = [part.strip() for part in message.get("contact").split(",")]
            for number, contact in enumerate(contacts):
                self.vars[f"sip_redirect_contact_{number}"] = contact
                if number == 0:
                    self.vars["sip_redirected_to"] = contact
                self.vars[f"sip_redirect_contact_user_{number}"] = sip.user_of(contact)
                host = sip.uri_of(contact).rpartition("@")[2].partition(":")[0]
                self.vars[f"sip_redirect_contact_host_{number}"] = host
            self.vars["proto_specific_hangup_cause"] = f"sip:{status}"
            self._remote_end = "redirect"
        else:
            cause = causes.from_sip(status)
            self.vars.update({"sip_invite_failure_status": str(status), "sip_invite_failure_phrase": reason,
                              "sip_term_status": str(status), "proto_specific_hangup_cause": f"sip:{status}",
                              "sip_term_cause": str(causes.Q850[cause])})
            self._remote_end = "refused"
        self.hangup(causes.from_sip(status))

    def leg_bye(self, _message: sip.SipMessage) -> None:
        if self.hungup:
            return
        self.vars.update({"sip_term_status": "200", "proto_specific_hangup_cause": "sip:200", "sip_term_cause": "16"})
        self._remote_end = "bye"
        self.hangup("NORMAL_CLEARING")

    # --- the end --------------------------------------------------------------------------------------------------

    def hangup(self, cause: str) -> None:
        """CHANNEL_HANGUP at once; the rest follows from the channel's own thread."""
        if self.hungup:
            return
        self.hungup = True
        self.cause = cause
        self.answer_state = "hangup"
        self.state_number = 10
        self.fire("CHANNEL_HANGUP")
        for timer in self.timers:
            timer.cancel()
        self.timers.clear()
        self.switch.loop.call_soon(self._wind_down)

    def _wind_down(self) -> None:
        if self._remote_end == "bye":
            self.vars["sip_hangup_disposition"] = "recv_bye"
        self.apps.abort()
        self.run_state("CS_HANGUP")
        self.times.hangup = self.switch.wall_us()
        for fork in list(self.forks.values()):
            fork.close(channel_gone=True)
        for recording in list(self.recordings.values()):
            recording.stop()
        self.callee.stop()
        if self.leg is not None:
            self.leg.abandon()
        self.set_callstate("HANGUP")
        self.run_state("CS_REPORTING")
        self.vars.update({"hangup_cause": self.cause, "hangup_cause_q850": str(causes.q850_of(self.cause))})
        self.vars.update(variables.of_report(self, self.times))
        self._set_disposition()
        if self.has_media:
            self.vars.update(variables.of_rtp((self.times.hangup - (self.times.answered or self.times.progress_media))
                                              / 1_000_000))
        self.fire("CHANNEL_HANGUP_COMPLETE", [("Hangup-Cause", self.cause)])
        self._settle(f"-ERR {self.cause}\n")
        self.switch.loop.call_later(_DESTROY_AFTER_S, self._destroy)

    def _set_disposition(self) -> None:
        """Who ended it: send_bye, send_cancel, recv_bye, recv_refuse."""
        if self._remote_end in ("bye", "refused"):
            return
        if self.times.answered:
            self.vars["sip_hangup_disposition"] = "send_bye"
        else:  # also where the other side had been silent, or redirected
            self.vars.update({"sip_hangup_disposition": "send_cancel", "sip_invite_failure_status": "487",
                              "sip_invite_failure_phrase": "CANCEL"})

    def _destroy(self) -> None:
        self.state_number = 12
        self.fire("CHANNEL_DESTROY")
        self.switch.channels.pop(self.uuid, None)
        self.run_state("CS_DESTROY")
        self.switch.table.put(self.uuid, None)

    def forget(self) -> None:
        """The process ends: no event, no SIP."""
        for timer in self.timers:
            timer.cancel()
        self.hungup = True
        for fork in list(self.forks.values()):
            fork.drop()

    def publish_row(self) -> None:
        created = self.times.created
        codec = ("PCMU", "8000", "64000") if self.has_media else ("", "", "")
        row: Row = {
            "uuid": self.uuid, "direction": self.direction, "created": variables._stamp(created),
            "created_epoch": str(created // 1_000_000), "name": self.name, "state": self.state,
            "cid_name": self.caller_name, "cid_num": self.caller_number, "ip_addr": "", "dest": self.destination,
            "application": self.apps.current, "application_data": "", "dialplan": "", "context": "default",
            "read_codec": codec[0], "read_rate": codec[1], "read_bit_rate": codec[2], "write_codec": codec[0],
            "write_rate": codec[1], "write_bit_rate": codec[2], "secure": "", "hostname": self.switch.config.hostname,
            "presence_id": "", "presence_data": self.presence, "accountcode": self.vars.get("accountcode", ""),
            "callstate": self.callstate, "callee_name": self.callee_name, "callee_num": self.callee_number,
            "callee_direction": "RECV" if self.flipped else "", "call_uuid": self.uuid, "sent_callee_name": "",
            "sent_callee_num": "", "initial_cid_name": self.orig_name, "initial_cid_num": self.orig_number,
            "initial_ip_addr": "", "initial_dest": self.destination, "initial_dialplan": "",
            "initial_context": "default",
        }
        self.switch.table.put(self.uuid, row)


def is_yes(text: str) -> bool:
    """A channel variable that says true."""
    return text.lower() in ("true", "yes", "on", "1", "enabled")
