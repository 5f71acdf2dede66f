"""A body of which fields alone decide is loaded by those that were sent: the same as marshmallow, which asks them all."""

from __future__ import annotations

from typing import Any

from flask import Flask
from hypothesis import given, settings
from hypothesis import strategies as st
from marshmallow import Schema, ValidationError

from web.api.dryrun import PlaceQuery
from web.api.fields import Request
from web.api.requests import CallsQuery, NewCallRequest, PageQuery
from web.api.retry_fields import RetryRequest, WindowRequest

AGENT = f"agent_{'0' * 31}1"
WINDOW = {"time_zone": "Europe/Berlin", "from": "09:00", "to": "20:00"}
#: Of each field some that are right; and what is wrong for some of them, or for all.
RIGHT: dict[str, list[Any]] = {
    "to": ["+4930123456", "+14155550101"],
    "from": ["+442079460000"],
    "agent_id": [AGENT],
    "agent_variables": [{}, {"name": "x"}],
    "metadata": [{}, {"a": [1, None]}],
    "priority": ["bulk"],
    "not_before": ["2026-03-01T09:30:00Z"],
    "expires_at": ["2026-03-01T09:30:00.123456789+01:00"],
    "ring_timeout_s": [5],
    "max_duration_s": [60],
    "max_attempts": [1, 10],
    "retry": [{}, {"max_attempts": 2, "busy_gaps_s": [60]}],
    "window": [WINDOW, {**WINDOW, "days": ["mon"]}],
    "recipient": [{"timezone": "America/Chicago"}],
    "consent": [{"basis": "requested"}],
    "recording": [{"enabled": False}],
    "webhook_url": ["https://example.org/hook"],
    "webhook": [{"url": "https://example.org/hook"}],
    "client_reference": ["mine"],
}
WRONG: list[Any] = [None, True, 0, -1, 1.5, "", "x", "{a=b}", "+1 415", [], [1], {}, {"x": 1}, {**WINDOW, "to": "08:00"}]
STRANGE = ["agentId", "number_pool_id", "From", "from_", "nothing"]


def bodies() -> st.SearchStrategy[Any]:
    fields = {name: st.sampled_from(right) | st.sampled_from(WRONG) for name, right in RIGHT.items()}
    sent = st.fixed_dictionaries({}, optional=fields)
    most = st.fixed_dictionaries(
        {name: st.sampled_from(RIGHT[name]) for name in ("to", "from", "agent_id")},
        optional={name: st.sampled_from(right) for name, right in RIGHT.items() if name not in ("to", "from", "agent_id")},
    )
    strange = st.fixed_dictionaries({}, optional=dict.fromkeys(STRANGE, st.just(1)))
    return most | st.sampled_from(WRONG) | st.builds(lambda a, b, c: {**a, **b, **c}, most, sent, strange)


def told(load: Any, body: Any) -> Any:
    """What is loaded; or what is said against it, with its codes."""
    try:
        return load(body)
    except ValidationError as error:
        return "refused", [
            (name, [(getattr(one, "code", None), str(one)) for one in said] if isinstance(said, list) else repr(said))
            for name, said in error.messages_dict.items()
        ]


def test_a_call_is_loaded_as_marshmallow_would(app: Flask) -> None:
    schema = NewCallRequest()
    assert schema._alone is not None, "no rule looks at several fields of a call"

    @settings(max_examples=150, deadline=None, derandomize=True)
    @given(bodies())
    def same(body: Any) -> None:
        with app.app_context():
            assert told(schema.load, body) == told(lambda sent: Schema.load(schema, sent), body)

    same()


def test_defaults_and_rules_over_several_fields_hold(app: Flask) -> None:
    cases: list[tuple[Request, Any]] = [
        (PageQuery(), {}),
        (PageQuery(), {"limit": "7"}),
        (PageQuery(), {"limit": "0"}),
        (PlaceQuery(), {}),
        (PlaceQuery(), {"dry_run": "true", "queue": "true"}),
        (CallsQuery(), {"starting_after": f"call_{'0' * 32}", "ending_before": f"call_{'0' * 32}"}),
        (RetryRequest(), {"on_unknown": True}),
        (WindowRequest(), {**WINDOW, "to": "08:00"}),
        (NewCallRequest(partial=True), {"to": "+4930123456"}),
        (NewCallRequest(many=True), [{"to": "+4930123456"}]),
    ]
    with app.app_context():
        for schema, body in cases:
            assert told(schema.load, body) == told(lambda sent, its=schema: Schema.load(its, sent), body), (schema, body)
        wanted = {"to": "+4930123456"}
        assert NewCallRequest().load(wanted, partial=True) == wanted
        assert NewCallRequest().load({**wanted, "x": 1}, partial=True, unknown="exclude") == wanted
