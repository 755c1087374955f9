"""Columns that a dump lacks, from a document that it holds: one parse of the document per row for all of them.

Belongs here: reading a column of JSON documents. Does not belong here: what is where in a document (the feed says so).
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import pyarrow as pa

from claims_pipeline.feeds.contract import Column, Document


def derive(carried: pa.Array, document: Document, columns: Sequence[Column]) -> dict[str, pa.Array]:
    """Values of absent columns from documents.

    Args:
        carried: the documents, in the carrier of `csv_source` (bytes as Latin-1 text). NULL and what is no JSON give
            NULL in every column.
        document: which columns the documents hold, and how.
        columns: those of them that the dump lacks.

    Returns:
        Typed values by column name.
    """
    values: dict[str, list[object]] = {column.name: [] for column in columns}
    for text in carried.to_pylist():
        parsed = _parsed(text)
        for column in columns:
            values[column.name].append(_value(document, column.name, parsed))
    return {column.name: _typed(values[column.name], column.arrow) for column in columns}


def _parsed(carried: str | None) -> object:
    if carried is None:
        return None
    try:
        return json.loads(carried.encode("latin-1"))
    except ValueError:
        return None


def _value(document: Document, column: str, parsed: object) -> object:
    if parsed is None:
        return None
    try:
        return document.holds[column](parsed)
    except (LookupError, TypeError, AttributeError, ValueError):
        return None


def _typed(values: list[object], arrow: pa.DataType) -> pa.Array:
    try:
        return pa.array(values, arrow)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):  # some value is of another kind: it becomes NULL
        return pa.array([value if _fits(value, arrow) else None for value in values], arrow)


def _fits(value: object, arrow: pa.DataType) -> bool:
    try:
        pa.scalar(value, arrow)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return False
    return True
