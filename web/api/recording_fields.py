"""The part ``recording`` of a new call, and what of it a tenant's policy and this system allow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar
from uuid import UUID

from marshmallow import ValidationError, validates_schema

from calls.recording import usual_start
from settings import Settings
from store.tenants import Tenant
from web.api.fields import Choice, Fault, Request, Text
from web.api.lookups import Lookups
from web.api.retry_fields import Switch
from web.problems import FieldError

STARTS = ("answer", "after_notice")


class RecordingRequest(Request):
    """Whether the call is recorded, and from when on; what is left out is as your account has it."""

    REFUSED: ClassVar[Mapping[str, str]] = {
        "channels": "cannot be chosen: a recording has two channels, the callee left and the agent right; leave it out"
    }

    enabled = Switch(metadata={"description": "false: not recorded, whatever your account has; else true", "default": True})
    start = Choice(
        STARTS,
        metadata={
            "description": "else as your account has it. answer: from the answer; after_notice: from the end of the notice",
        },
    )
    notice = Text(
        maximum=104,
        pattern="[A-Za-z0-9_-]{1,100}[.]wav",
        remedy="must be the name of a .wav file in the announcement directory, without a path",
        metadata={"description": "after_notice: file played before the agent is heard; else the agent gives the notice"},
    )

    @validates_schema(skip_on_field_errors=True)
    def _fits(self, data: dict[str, Any], **_: Any) -> None:
        faults: dict[str, list[str]] = {}
        if data.get("enabled") is False:
            for name in data.keys() & {"start", "notice"}:
                faults[name] = [Fault("not_allowed", "belongs to a call that is recorded; leave it out, or enabled")]
        elif "notice" in data and data.get("start") == "answer":
            faults["notice"] = [Fault("not_allowed", "is played where start is after_notice; leave it out, or change start")]
        if faults:
            raise ValidationError(faults)


def recording_for(
    args: Mapping[str, Any], tenant: Tenant, settings: Settings, lookups: Lookups
) -> tuple[dict[str, Any] | None, list[FieldError]]:
    """What the call is to be recorded like (None: not at all), and what speaks against accepting it."""
    asked: Mapping[str, Any] | None = args.get("recording")
    usual = usual_start(tenant.recording, tenant.recording_allowed)
    if asked is None:
        if usual is None:
            return None, []
        asked = {}
    elif not asked.get("enabled", True):
        return None, []
    default = usual or ("after_notice" if tenant.recording_allowed == "after_notice" else "answer")
    start = asked.get("start") or ("after_notice" if "notice" in asked else default)
    notice = asked.get("notice", tenant.recording_notice) if start == "after_notice" else None
    faults = list(_faults(start, notice, tenant, settings, lookups, args["agent_id"]))
    return {"start": start, "notice": notice, "days": tenant.recording_days or settings.recording_days}, faults


def _faults(
    start: str, notice: str | None, tenant: Tenant, settings: Settings, lookups: Lookups, agent_id: UUID
) -> Iterator[FieldError]:
    if not settings.records:
        yield FieldError(
            "/recording", "not_set_up", "this system records no calls; send enabled false, or ask its operator to set it up"
        )
    elif tenant.recording_allowed == "none":
        yield FieldError("/recording", "not_allowed", "calls of your account may not be recorded; send enabled false")
    elif start == "answer" and tenant.recording_allowed == "after_notice":
        yield FieldError("/recording/start", "not_allowed", "your account records after a notice only; send after_notice")
    elif start == "after_notice" and notice is None:
        agent = lookups.agent(agent_id)
        if agent is not None and agent.kind in ("announcement", "sip"):
            yield FieldError(
                "/recording/notice",
                "required",
                f"an agent of kind {agent.kind} gives no notice itself; name the file that is to be played",
            )
