"""A value that a table refuses, told as the field's name and what would be right."""

from __future__ import annotations

from collections.abc import Mapping

from psycopg import errors

#: What Postgres says of a value outside of a column's range.
OUT_OF_RANGE = (errors.CheckViolation, errors.NotNullViolation, errors.NumericValueOutOfRange)


def refused(what: str, table: str, ranges: Mapping[str, str], error: errors.IntegrityError | errors.DataError) -> ValueError:
    """``error`` as a ValueError. ``what`` was to be written to ``table``; ``ranges``: field -> what it must be."""
    constraint = error.diag.constraint_name or ""
    field = error.diag.column_name or constraint.removeprefix(f"{table}_").removesuffix("_check")
    # A number that does not even fit its column comes without the column's name: then every rule is told.
    told = {field: ranges[field]} if field in ranges else ranges
    return ValueError(f"{what}: " + "; ".join(f"{name} must be {rule}" for name, rule in told.items()))
