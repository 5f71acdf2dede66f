"""Workers run the agent's code: of the platform's environment they have what is allowed, and of the rest all."""

from __future__ import annotations

from pydantic import AliasChoices

from agents.fleet.environment import ALLOWED, for_workers
from settings import Settings


def test_no_setting_of_the_platform_reaches_a_worker_but_those_allowed() -> None:
    names = []
    for name, field in Settings.model_fields.items():
        alias = field.validation_alias
        names += [str(one) for one in alias.choices] if isinstance(alias, AliasChoices) else [f"TRUNKLINE_{name.upper()}"]
    given = dict.fromkeys([*names, *map(str.lower, names), "TRUNKLINE_AGENT_SECRET", "FREESWITCH_PASSWORD"], "secret")
    assert set(for_workers(given)) <= ALLOWED


def test_what_is_the_agents_own_stays() -> None:
    own = {"PATH": "/bin", "HOME": "/home/bot", "SPEECH_API_KEY": "theirs", "TRUNKLINE_RUNTIME_URL_BASE": "https://api"}
    assert for_workers(own | {"TRUNKLINE_CDR_PASSWORD": "ours"}) == own
