"""What sidecars say: their bytes -> promises. Pure.

Belongs here: the forms of checksum files, manifests and of the promises that are kept beside a dump in the archive.
Does not belong here: fetching them, and comparing (`arrival`, `frames`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from claims_pipeline.errors import BadDump
from claims_pipeline.feeds.sidecars import Promise, total_of

MOST_BYTES = 16 << 20
"""Of a sidecar no more is read: some 100,000 files of a manifest."""

_LINE = re.compile(r"\\?([0-9A-Fa-f]{64})(?:[ \t]+\*?(\S.*))?")


def checksum(body: bytes, *, name: str, source: str) -> Promise:
    """What a `.sha256` file promises: the line that names the dump, or the only line.

    Args:
        body: its bytes.
        name: file name of the dump.
        source: file name of the sidecar.

    Raises:
        BadDump: dump.checksum: it holds no SHA-256 of the dump.
    """
    lines = [line.strip() for line in body.decode("utf-8", "replace").lstrip("\ufeff").splitlines()]
    found = [match for line in lines if line and (match := _LINE.fullmatch(line))]
    named = [match for match in found if (match[2] or "").rpartition("/")[2] == name]
    match = named[0] if named else found[0] if len(found) == 1 else None
    if match is None:
        raise BadDump("dump.checksum", f"its sidecar {source} holds no SHA-256 of it")
    return Promise(source, sha256=match[1].lower())


def manifest(body: bytes, *, source: str) -> dict[str, Promise] | None:
    """What a manifest promises, by file name; None where it is not (yet) a manifest."""
    try:
        files = json.loads(body, parse_float=Decimal)["files"]
        return {name: _promise(source, said) for name, said in files.items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def kept(promises: Iterable[Promise]) -> list[dict[str, Any]]:
    """Promises as JSON values: what the raw archive keeps beside a dump."""
    return [
        {
            "source": p.source,
            "rows": p.rows,
            "sha256": p.sha256,
            "totals": {column: str(total) for column, total in p.totals.items()},
        }
        for p in promises
    ]


def unkept(values: Iterable[dict[str, Any]]) -> list[Promise]:
    """The promises that the raw archive keeps."""
    return [_promise(said["source"], said) for said in values]


def _promise(source: str, said: dict[str, Any]) -> Promise:
    rows, sha256, totals = said.get("rows"), said.get("sha256"), said.get("totals") or {}
    if rows is not None and (isinstance(rows, bool) or not isinstance(rows, int) or rows < 0):
        raise ValueError("rows is no count")
    if sha256 is not None and not re.fullmatch(r"[0-9A-Fa-f]{64}", sha256):
        raise ValueError("sha256 is no SHA-256")
    return Promise(source, rows, sha256.lower() if sha256 else None, {c: total_of(str(t)) for c, t in totals.items()})
