"""Schemas of agents."""

from __future__ import annotations

from marshmallow import fields

from calls.lanes import SEAT_POLICIES
from web.api.answer_fields import Answer, PageAnswer, moment, part, several, text, texts, truth, whole
from web.api.fallback_fields import FallbackAnswer
from web.api.script_fields import MenuAnswer, PartAnswer

_AGENT = "agent_0190b2c3d4e57f60718293a4b5c6d7e8"
_SECRET = "agsec_" + 32 * "5c"
AGENT_KINDS = ("websocket", "announcement", "sip", "fleet")
AGENT_PROTOCOLS = ("trunkline", "twilio")
POLICY_WORDS = "reserved: a call is dialed with a seat; at_answer: it gets one when somebody answers, if there is one"


class AgentAnswer(Answer):
    """Who talks to whoever answers."""

    id = text("the agent", example=_AGENT)
    name = text("unique in your account")
    kind = text(
        "websocket: your own server; announcement: plays audio; sip: a person or a switchboard; fleet: a worker of ours",
        enum=list(AGENT_KINDS),
    )
    url = text("websocket: address", null=True)
    protocol = text("websocket: how it is spoken to", null=True, enum=[*AGENT_PROTOCOLS, None])
    audio = text("announcement: file", null=True)
    script = several(PartAnswer, "announcement: what is said, part by part; null: only the file in audio", null=True)
    menu = part(MenuAnswer, "announcement: keys that are understood; null: none", null=True)
    greeting = part(PartAnswer, "websocket, fleet: heard at the answer, before the agent; null: nothing", null=True)
    sample_rate = whole("websocket, fleet: samples a second on the agent's socket", null=True)
    voice = text("who speaks its texts; null: en", null=True)
    number = text("sip: who is rung once somebody has answered", null=True)
    trunk = text("sip: the way to the number; null: its route", null=True)
    user = text("sip: what is dialed on the trunk; null: the number", null=True)
    needs_variables = texts("names in its texts, which agent_variables of each of its calls must have")
    transfer_to = texts("numbers, and beginnings of numbers with a *, to which its calls may be transferred")
    fallback = part(FallbackAnswer, "websocket, fleet: what is done when it fails a call", null=True)
    runtime = fields.Dict(required=True, metadata={"description": "what its calls are given when they ask"})
    pool = text("fleet: whose seats its calls take", null=True)
    seat_policy = text("fleet: " + POLICY_WORDS, enum=[*SEAT_POLICIES, None], null=True)
    paused = truth("true: its calls wait until it is resumed")
    created_at = moment("created")
    archived_at = moment("put away: it takes no call any more; null: it is in use", null=True)


class AgentSecretAnswer(AgentAnswer):
    """An agent with its secret, which is told this once."""

    secret = text("signs the token that your server is called with: keep it, it is not shown again", example=_SECRET)


class AgentPage(PageAnswer):
    """A page of agents, newest first."""

    data = several(AgentAnswer)
