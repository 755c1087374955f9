"""What a sender lays beside its dumps, or at their end, and promises by it: part of a contract.

Belongs here: which sidecars a feed has, where they lie, and a promise as a value. Does not belong here: looking for
them (`arrival`), reading their bytes (`landing.sidecars`), counting rows (`frames`).
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

CHECKSUM_SUFFIX = ".sha256"
_TOTAL = re.compile(r"[+-]?(?:[0-9]{1,60}(?:\.[0-9]{0,60})?|\.[0-9]{1,60})")


@dataclass(frozen=True)
class Manifest:
    """A JSON object that says of several dumps what they hold. Each dump waits until it is named there.

    Its form: {"files": {"<file name>": {"rows": 12, "sha256": "<hex>", "totals": {"<column>": "12.50"}}}}; every one
    of the three may be left out. Totals are best written as text; numbers are read exactly, too.

    Attributes:
        name: its file name in the dump's folder; from the sender's prefix on where it begins with "/". strftime's
            codes stand for the delivery day: "manifest.json", "/manifests/%Y-%m-%d.json".
    """

    name: str

    def key(self, *, prefix: str, dump: str, day: dt.date) -> str:
        """Where the manifest of a dump lies.

        Args:
            prefix: the sender's.
            dump: key of the dump.
            day: its delivery day.
        """
        name = day.strftime(self.name)
        return prefix + name[1:] if name.startswith("/") else folder_of(dump) + name

    def is_at(self, key: str, *, prefix: str) -> bool:
        """Whether a key is that of a manifest of any day."""
        pattern = re.sub(r"%[A-Za-z]", "[^/]+", re.escape(self.name))
        if self.name.startswith("/"):
            return re.fullmatch(re.escape(prefix) + pattern[1:], key) is not None
        return re.fullmatch(pattern, key.rpartition("/")[2]) is not None


@dataclass(frozen=True)
class Sidecars:
    """What lies beside the dumps of a feed.

    Attributes:
        checksum: `<file>.sha256` (sha256sum's form, or the hex alone) is compared with the dump's bytes wherever it is
            there; "required": the dump waits for it.
        marker: file name, such as "_SUCCESS", without which nothing in its folder is read; None for none.
        manifest: where one says what the dumps hold; None for none.
    """

    checksum: Literal["optional", "required"] = "optional"
    marker: str | None = None
    manifest: Manifest | None = None

    def holds(self, key: str, *, prefix: str) -> bool:
        """Whether a key is no dump but a sidecar of one."""
        if key.endswith(CHECKSUM_SUFFIX) or key.rpartition("/")[2] == self.marker:
            return True
        return self.manifest is not None and self.manifest.is_at(key, prefix=prefix)


@dataclass(frozen=True)
class Trailer:
    """A last row of a CSV that says what the rows before it are. It is no row of data.

    A dump that ends without it was cut off, and is unreadable.

    Attributes:
        mark: its first field.
        rows: place of the row count, counted from 1 (the mark's).
        totals: (column, place) of each control total.
    """

    mark: str
    rows: int = 2
    totals: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Promise:
    """What a sender says that a dump holds. Whatever is None, or not in `totals`, is not promised.

    Attributes:
        source: where it is said, for a person: "the trailer row", or a sidecar's file name.
        rows: data rows, however they are judged.
        sha256: hex in lower case, of the bytes as delivered.
        totals: exact sum by column as delivered. A total is an aggregate of records: it is never shown.
    """

    source: str
    rows: int | None = None
    sha256: str | None = None
    totals: Mapping[str, Decimal] = field(default_factory=dict)


def folder_of(key: str) -> str:
    """The folder of a key, with its slash; empty for a key without one."""
    return key[: key.rfind("/") + 1]


def total_of(text: str) -> Decimal:
    """A control total written in plain digits.

    Raises:
        ValueError: it is no such number.
    """
    if not _TOTAL.fullmatch(text):
        raise ValueError("a control total is written in digits, with or without a point")
    return Decimal(text)
