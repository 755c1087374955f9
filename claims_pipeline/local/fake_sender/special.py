"""Files that are wrong as a whole: each as a key that a sender could have written, and the bytes.

Belongs here: one function per kind of broken file. Their stamp is an hour after the regular dump's, so that both can
lie in one inbox. Does not belong here: rows that are wrong in a file that is right (`defects`).
"""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import numpy as np

from claims_pipeline.feeds.va_form526 import SENDER
from claims_pipeline.local.fake_sender.dialect import Dialect
from claims_pipeline.local.fake_sender.dice import Dice
from claims_pipeline.local.fake_sender.engine import generate
from claims_pipeline.local.fake_sender.life import Plan

_HOUR = dt.time(6, 0, tzinfo=dt.UTC)
_ROWS = 20


def zero_bytes(day: dt.date, *, dataset: str = "form526_submissions") -> tuple[str, bytes]:
    """A file of no bytes."""
    return _key(day, dataset), b""


def header_only(day: dt.date, *, dataset: str = "form526_submissions") -> tuple[str, bytes]:
    """A header and no row: an empty day."""
    return _key(day, dataset), _sound(day, dataset).splitlines(keepends=True)[0]


def ciphertext_column(day: dt.date, *, dataset: str = "form526_submissions") -> tuple[str, bytes]:
    """A dump that was not decrypted: a column `form_json_ciphertext` beside the contract's."""
    return _key(day, dataset), _with_column(_sound(day, dataset), "form_json_ciphertext", "bm90IGRlY3J5cHRlZA==")


def unknown_column(day: dt.date, *, dataset: str = "form526_submissions") -> tuple[str, bytes]:
    """A column that the contract does not name; the rows are sound and must be loaded without it."""
    return _key(day, dataset), _with_column(_sound(day, dataset), "favourite_colour", "green")


def missing_required_column(
    day: dt.date, *, dataset: str = "form526_submissions", column: str = "updated_at"
) -> tuple[str, bytes]:
    """A dump without a column that the contract requires.

    Raises:
        ValueError: the dataset has no such column.
    """
    header, *rows = _table(_sound(day, dataset))
    place = header.index(column)
    return _key(day, dataset), _csv([[*row[:place], *row[place + 1 :]] for row in (header, *rows)])


def unknown_dataset(day: dt.date) -> tuple[str, bytes]:
    """A sound file of a dataset that has no contract."""
    return _key(day, "form526_appeals"), b"id,updated_at\n1,2024-01-01 00:00:00 UTC\n"


def not_a_csv(day: dt.date, *, dataset: str = "form526_submissions") -> tuple[str, bytes]:
    """64 KiB of noise under a CSV's name."""
    return _key(day, dataset), Dice(day.toordinal()).bits("noise", np.arange(8192, dtype=np.int64)).tobytes()


def truncated_gzip(day: dt.date, *, dataset: str = "form526_submissions") -> tuple[str, bytes]:
    """A compressed dump that lost its second half on the way."""
    packed = gzip.compress(_sound(day, dataset), mtime=0)
    return f"{_key(day, dataset)}.gz", packed[: len(packed) // 2]


def _key(day: dt.date, dataset: str) -> str:
    stamp = dt.datetime.combine(day, _HOUR)
    return f"{SENDER.prefix}{dataset}/dt={day.isoformat()}/{dataset}_{stamp:%Y%m%dT%H%M%SZ}.csv"


def _sound(day: dt.date, dataset: str) -> bytes:
    """A small dump without a defect; remediations come late in a life, so the plan's first day may hold no row."""
    kept = io.BytesIO()

    @contextmanager
    def into_memory(_: str) -> Iterator[BinaryIO]:
        yield kept

    generate(Plan(day, days=1, rows=_ROWS, dirt=0, dialect=Dialect()), into_memory, datasets=[dataset])
    return kept.getvalue()


def _table(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode(), newline="")))


def _csv(rows: list[list[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _with_column(data: bytes, name: str, value: str) -> bytes:
    header, *rows = _table(data)
    return _csv([[*header, name], *([*row, value] for row in rows)])
