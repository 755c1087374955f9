"""Lines of fixed widths become the same typed rows as any other format."""

from __future__ import annotations

import datetime as dt
import gzip
import io
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from claims_pipeline.errors import BadDump
from claims_pipeline.feeds.contract import (
    BigInt,
    Date,
    Feed,
    FeedModel,
    FixedWidth,
    Keep,
    Money,
    Pii,
    Sender,
    Text,
    column,
)
from claims_pipeline.frames import Validation, validate_dump
from claims_pipeline.frames.stream import Compression

from .samples import KEYS

SENDER = Sender("mill", "A mill", "UTC", "mill/", dt.date(2025, 1, 1))
FIELDS = (("number", 4), ("name", 8), ("born", 10), ("owed", 9))


class People(FeedModel):
    """One row per person."""

    number: BigInt = column("Number", key=True)
    name: Text = column("Name", pii=Pii.PSEUDONYMOUS)
    born: Date = column("Born on", pii=Pii.QUASI, treatment=Keep())
    owed: Money = column("Owed")


def _read(
    body: bytes, folder: Path, *, compression: Compression | None = None, **written: Any
) -> tuple[Validation, list[dict[str, Any]]]:
    feed = Feed(SENDER, "people", People, (), format=FixedWidth(fields=FIELDS, dates=("%d.%m.%Y",), **written))
    paths = folder / "rows.parquet", folder / "rejects.parquet"
    result = validate_dump(
        io.BytesIO(body), feed=feed, compression=compression, stamp=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        delivery_day=dt.date(2026, 1, 1), keys=KEYS, rows_file=paths[0], rejects_file=paths[1], batch_bytes=1 << 16,
    )  # fmt: skip
    rows = pq.read_table(paths[0]).to_pylist()
    return result, [{name: row[name] for name, _ in FIELDS} | {"_": row["_row_number"]} for row in rows]


def test_fields_are_cut_by_width_and_cast_by_the_contract(tmp_path: Path) -> None:
    body = "   1Jané    01.02.1950     1,50\r\n   2\n\n0003NULL    1950-02-03   -12,00\n".encode("cp1252")
    result, rows = _read(body, tmp_path, encoding="cp1252", decimal=",", nulls=("NULL",))
    assert (result.read, result.kept) == (3, 3)
    assert [(row["number"], row["name"], str(row["born"]), str(row["owed"]), row["_"]) for row in rows] == [
        (1, "Jané", "1950-02-01", "1.50", 1),
        (2, None, "None", "None", 2),
        (3, None, "1950-02-03", "-12.00", 3),
    ]


def test_a_line_that_is_too_long_or_holds_no_number_is_set_apart(tmp_path: Path) -> None:
    good = "   1a".ljust(31)
    body = "\n".join((good, good + "!", "   xb")).encode()
    result, rows = _read(body, tmp_path)
    assert result.rejects == {"number.cast": 1, "row.ragged": 1}
    assert [row["_"] for row in rows] == [1]


def test_a_reject_tells_its_line(tmp_path: Path) -> None:
    _read(b"HEAD\n\n   1a\n\n   xb\n", tmp_path, header_lines=1)
    found = pq.read_table(tmp_path / "rejects.parquet", columns=["row_number", "line"]).to_pylist()
    assert found == [{"row_number": 2, "line": 5}]


@pytest.mark.parametrize("lines", [1, 2, 3])
def test_header_lines_are_no_rows_wherever_a_batch_ends(tmp_path: Path, lines: int) -> None:
    body = b"HEAD\n" * lines + b"".join(b"%-4d%-20s\n" % (number, b"x") for number in range(1, 9_001))
    result, rows = _read(body, tmp_path, header_lines=lines)
    assert result.read == len(rows) == 9_000
    assert all(row["number"] == row["_"] for row in rows)


def test_compressed_and_empty_dumps_are_read(tmp_path: Path) -> None:
    result, _ = _read(gzip.compress(b"   1a\n"), tmp_path, compression="gzip")
    assert result.read == 1
    assert _read(b"", tmp_path)[0].read == 0
    assert _read(b"HEAD\n", tmp_path, header_lines=1)[0].read == 0


def test_a_truncated_gzip_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(BadDump) as refused:
        _read(gzip.compress(b"   1a\n" * 100)[:-9], tmp_path, compression="gzip")
    assert refused.value.rule == "dump.unreadable"
