"""Columns that a dump lacks, from a document that it holds: one parse of the document per row for all of them.

Belongs here: reading a column of JSON documents. Does not belong here: what is where in a document (the feed says so).
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import pyarrow as pa

from claims_pipeline.feeds.contract import Document
from claims_pipeline.frames.physical import as_array


def derive(documents: pa.Array, document: Document, columns: Sequence[str]) -> dict[str, pa.Array]:
    """Values of absent columns from documents, as if the dump had held them: they are cast and checked like any other.

    Args:
        documents: their text. NULL and what is no JSON give NULL in every column.
        document: which columns the documents hold, and how.
        columns: those of them that the dump lacks.

    Returns:
        Values by column name, as text.
    """
    values: dict[str, list[str | None]] = {column: [] for column in columns}
    for text in documents.to_pylist():
        parsed = _parsed(text)
        for column in columns:
            values[column].append(_value(document, column, parsed))
    return {column: as_array(texts) for column, texts in values.items()}


def _parsed(text: str | None) -> object:
    if text is None:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # the second: brackets nested deeper than Python reads
        return None


def _value(document: Document, column: str, parsed: object) -> str | None:
    if parsed is None:
        return None
    try:
        value = document.holds[column](parsed)
    except (LookupError, TypeError, AttributeError, ValueError):
        return None
    if value is None:
        return None
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
