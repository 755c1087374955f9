"""Rows that broke a rule, sealed: what the quarantine is filled from.

Belongs here: the form of the rejects file. Does not belong here: which rows are rejected.
"""

from __future__ import annotations

import json

import pyarrow as pa

from claims_pipeline.frames.keys import KeyRing, seal

REJECTS_SCHEMA = pa.schema(
    [
        ("row_number", pa.int64()),
        ("line", pa.int64()),
        ("columns", pa.list_(pa.string())),
        ("rules", pa.list_(pa.string())),
        ("key_version", pa.string()),
        ("sealed", pa.binary()),
        ("row_key", pa.list_(pa.string())),
    ]
)


class Rejects:
    """Rejects of one batch, sealed as they come."""

    def __init__(self, feed: str, ring: KeyRing) -> None:
        """Begin with none; the ring's last key seals."""
        self._feed = feed
        self._ring = ring
        self._rows: list[dict[str, object]] = []

    def add(
        self,
        number: int,
        line: int | None,
        columns: list[str],
        rules: list[str],
        row: dict[str, str | None],
        row_key: list[str] | None = None,
    ) -> None:
        """Seal one row; see `validate_dump` for what is noted beside it."""
        version, sealed = seal(json.dumps(row).encode(), ring=self._ring, context=f"{self._feed}:{number}")
        self._rows.append(
            {
                "row_number": number,
                "line": line,
                "columns": columns,
                "rules": rules,
                "key_version": version,
                "sealed": sealed,
                "row_key": row_key,
            }
        )

    def batch(self) -> pa.RecordBatch:
        """All of them, see `REJECTS_SCHEMA`."""
        return pa.RecordBatch.from_pylist(self._rows, schema=REJECTS_SCHEMA)
