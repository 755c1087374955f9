"""A Singer tap for one CSV file: a schema with types, then a record for every row. Only the standard library.

Does as little as a tap can, so that what is measured is the target. Arguments: the file, a JSON file with table, key
and columns.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path

_SCHEMAS: dict[str, dict[str, object]] = {
    "string": {"type": ["string", "null"]},
    "bool": {"type": ["boolean", "null"]},
    "date32[day]": {"type": ["string", "null"], "format": "date"},
    "timestamp[us, tz=UTC]": {"type": ["string", "null"], "format": "date-time"},
}


def _schema(kind: str) -> dict[str, object]:
    if kind.startswith("int"):
        return {"type": ["integer", "null"]}
    if kind.startswith("decimal"):
        return {"type": ["number", "null"]}
    return _SCHEMAS[kind]


def _reader(kind: str) -> Callable[[str], object]:
    if kind.startswith("int"):
        return int
    if kind.startswith("decimal"):
        return float
    return "t".__eq__ if kind == "bool" else str


def main(file: str, spec_file: str) -> None:
    """Write the file as Singer messages to standard output."""
    spec = json.loads(Path(spec_file).read_text())
    table, columns = spec["table"], spec["columns"]
    properties = {name: _schema(kind) for name, kind in columns.items()}
    schema = {"type": "object", "properties": properties}
    write = sys.stdout.write
    write(json.dumps({"type": "SCHEMA", "stream": table, "schema": schema, "key_properties": spec["key"]}) + "\n")
    with Path(file).open(encoding="utf-8", newline="") as lines:
        rows = csv.reader(lines)
        fields = [(name, _reader(columns[name])) for name in next(rows)]
        for row in rows:
            record = {name: read(text) if text else None for (name, read), text in zip(fields, row, strict=True)}
            write(json.dumps({"type": "RECORD", "stream": table, "record": record}) + "\n")


main(*sys.argv[1:])
