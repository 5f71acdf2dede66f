"""Schemas of a batch: what its rows and their defaults may say, and what is answered."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError, fields

from web.api.answer_fields import Answer, PageAnswer, moment, several, text, whole
from web.api.call_answers import STATUSES
from web.api.fields import Fault, Reference, Request
from web.api.problem_answers import FieldErrorAnswer
from web.api.requests import NewCallRequest, PageQuery

#: Of each call its own.
ROWS_OWN = ("to", "client_reference")


class BatchRow(NewCallRequest):
    """One call; what is left out is as the defaults have it."""

    def __init__(self, *args: Any, **more: Any):
        super().__init__(*args, **more)
        for name in self.fields.keys() - {"to"}:
            self.fields[name].required = False


class BatchDefaults(BatchRow):
    """What holds for every row that does not say otherwise: any field of a call but `to` and `client_reference`."""

    class Meta:
        exclude = ROWS_OWN


class BatchRequest(Request):
    """Many calls to place."""

    defaults = fields.Nested(BatchDefaults)
    calls = fields.List(fields.Nested(BatchRow), required=True, metadata={"minItems": 1, "maxItems": 10_000})


class Loader:
    """Rows against the schema of a single call, field by field: what the defaults say is read once, not for each row."""

    def __init__(self) -> None:
        self._whole = NewCallRequest()
        self._fields = {field.data_key or name: (name, field) for name, field in self._whole.load_fields.items()}
        # Rules over several fields of a call look at the whole of it.
        self._by_field = not any(self._whole._hooks.values())

    def defaults(self, sent: Any) -> dict[str, Any]:
        """The arguments that they stand for. Raises marshmallow's ``ValidationError``."""
        if not isinstance(sent, dict):
            raise ValidationError([Fault("wrong_type", "must be an object")])
        own = {
            name: [Fault("not_allowed", "belongs to a row; leave it out of the defaults")]
            for name in ROWS_OWN
            if name in sent
        }
        if own:
            raise ValidationError({**own})
        return self._load(sent)

    def row(self, sent: Any, defaults: dict[str, Any], defaults_sent: dict[str, Any]) -> dict[str, Any]:
        """The arguments of a row with its defaults. Raises ``ValidationError``."""
        if not isinstance(sent, dict):
            raise ValidationError([Fault("wrong_type", "must be an object")])
        if not self._by_field:
            loaded: dict[str, Any] = self._whole.load({**defaults_sent, **sent})
            return loaded
        args = {**defaults, **self._load(sent)}
        missing = {
            key: [Fault("required", "is required")]
            for key, (name, field) in self._fields.items()
            if field.required and name not in args
        }
        if missing:
            raise ValidationError({**missing})
        return args

    def _load(self, sent: dict[str, Any]) -> dict[str, Any]:
        args: dict[str, Any] = {}
        faults: dict[str, Any] = {}
        for key, value in sent.items():
            known = self._fields.get(key)
            if known is None:
                faults[key[:64]] = [self._stranger(key)]
                continue
            try:
                args[known[0]] = known[1].deserialize(value, key, sent)
            except ValidationError as error:
                faults[key] = error.messages
        if faults:
            raise ValidationError(faults)
        return args

    def _stranger(self, key: str) -> Any:
        """What is said of a field that there is not; as of that of a single call."""
        later = self._whole.REFUSED.get(key)
        return self._whole.error_messages["unknown"] if later is None else Fault("not_supported_yet", later)


class BatchesQuery(PageQuery):
    """Which batches."""

    starting_after = Reference("batch", metadata={"description": "next_cursor of the page before"})


_BATCH = "batch_0190b2c3d4e57f60718293a4b5c6d7e8"


class BatchSummary(Answer):
    """A batch as it was posted."""

    id = text("the batch", example=_BATCH)
    accepted = whole("rows that became calls")
    refused = whole("rows that did not")
    created_at = moment("accepted")
    canceled_at = moment("none of its calls is dialed from then on", null=True)


class BatchAnswer(BatchSummary):
    """A batch and where its calls are now."""

    statuses = fields.Dict(
        keys=fields.String(metadata={"enum": list(STATUSES)}),
        values=fields.Integer(),
        required=True,
        metadata={
            "description": "calls by status, those of which there are any",
            "example": {"queued": 9000, "completed": 998},
        },
    )
    end_reasons = fields.Dict(
        keys=fields.String(),
        values=fields.Integer(),
        required=True,
        metadata={"description": "ended calls by end_reason", "example": {"answered": 998}},
    )
    ended = whole("calls that have ended; when it is equal to accepted, the batch is done")


class BatchPage(PageAnswer):
    """A page of batches, newest first."""

    data = several(BatchSummary)


class RowAnswer(Answer):
    """What became of a row: `call_id` where it was accepted, else `errors`."""

    index = whole("of the row, from 0")
    status = text("what became of it", enum=["accepted", "refused"])
    call_id = text("the call", null=True, example="call_0190b2c3d4e57f60718293a4b5c6d7e8")
    client_reference = text("the row's own, where it is one", null=True)
    errors = several(FieldErrorAnswer, "empty where accepted")


class PlacedBatchAnswer(Answer):
    """What became of every row, in order."""

    id = text("the batch", example=_BATCH)
    accepted = whole("rows that became calls")
    refused = whole("rows that did not; each says why")
    created_at = moment("accepted")
    calls = several(RowAnswer)
