"""A small made-up feed with every type, treatment and kind of rule, and a way to push a dump of it through the room."""

from __future__ import annotations

import csv
import datetime as dt
import io
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pandera.pandas as pa
import pyarrow.parquet as pq
from hypothesis import settings

from claims_pipeline.feeds.contract import (
    BigInt,
    Boolean,
    Date,
    Drop,
    Feed,
    FeedModel,
    Flag,
    Integer,
    Keep,
    Money,
    Pii,
    Reduce,
    Reduction,
    Sender,
    SmallInt,
    Text,
    TextList,
    Timestamp,
    Token,
    column,
)
from claims_pipeline.frames import KeyRing, Keys, Validation, make_key_ring, unseal, validate_dump
from claims_pipeline.frames.stream import Compression

relaxed = settings(deadline=None, max_examples=60)

CLINIC = Sender(
    name="clinic", title="A clinic", timezone="Pacific/Auckland", prefix="clinic/", start=dt.date(2024, 1, 1)
)
KEYS = Keys(token=KeyRing.parse(make_key_ring()), quarantine=KeyRing.parse(make_key_ring()))
STAMP = dt.datetime(2026, 5, 1, 12, tzinfo=dt.UTC)
DAY = dt.date(2026, 5, 1)


class Visits(FeedModel):
    """One row per visit."""

    visit_id: BigInt = column("Visit", key=True, ge=1)
    kind: Text = column("Kind", only=("visit", "call"))
    is_open: Boolean = column("Open", required=True, nullable=False)
    seen_at: Timestamp = column("Seen at", required=True, max_ahead=dt.timedelta(hours=1))
    changed_at: Timestamp = column("Changed at", hashed=False)
    day: Date = column("Day", ge=dt.date(1900, 1, 1))
    price: Money = column("Price")
    room: SmallInt = column("Room", in_range={"min_value": 0, "max_value": 150}, aliases=["room_no"])
    floor: Integer = column("Floor")
    note: Text = column("Note", str_length={"max_value": 500})
    mood: Text = column("Mood", isin=["fair", "good"], raise_warning=True)
    state: Text = column("State", codes={"0": "open", "1": "shut"}, isin=["open", "shut"])
    tags: TextList = column("Tags")
    person: Text = column("Person", pii=Pii.DIRECT, treatment=Token(family="person"), nullable=False)
    patient_no: BigInt = column("Patient", pii=Pii.DIRECT, treatment=Token())
    born: Date = column(
        "Born", pii=Pii.DIRECT, treatment=Reduce(Reduction.BIRTH_YEAR, into="birth_year"), invalid="null"
    )
    zip_code: Text = column("ZIP", pii=Pii.QUASI, treatment=Reduce(Reduction.ZIP3, into="zip3"))
    file_name: Text = column("File", pii=Pii.DIRECT, treatment=Reduce(Reduction.EXTENSION, into="extension"))
    began: Text = column("Began", pii=Pii.QUASI, treatment=Reduce(Reduction.PARTIAL_DATE))
    entries: TextList = column("Entries", pii=Pii.SPECIAL, treatment=Reduce(Reduction.COUNT, into="entry_count"))
    ward: Text = column("Ward", pii=Pii.QUASI, treatment=Keep())
    secret: Text = column("Secret", pii=Pii.SPECIAL, treatment=Drop())

    @pa.dataframe_check(name="changed_not_before_seen")
    def changed_not_before_seen(cls, df: pd.DataFrame) -> pd.Series:
        """NA where one of the two is missing: no failure."""
        return df["changed_at"] >= df["seen_at"]

    @pa.dataframe_check(name="open_has_room", raise_warning=True)
    def open_has_room(cls, df: pd.DataFrame) -> pd.Series:
        """Advice only."""
        return (~df["is_open"] | df["room"].notna()).fillna(value=True)


VISITS = Feed(CLINIC, "visits", Visits, (r"^visits_(?P<stamp>\d{8})\.csv$",), refuse=(r"_ciphertext$",))


class Checkups(FeedModel):
    """One row per checkup: what senders of database extracts add to a column."""

    checkup_id: BigInt = column("Checkup", key=True)
    at: Timestamp = column("At", local_copy=True, sentinels=["1900-01-01"])
    born: Date = column(
        "Born", pii=Pii.DIRECT, treatment=Reduce(Reduction.YEAR, into="born_year"), sentinels=["1900-01-01", "unknown"]
    )
    number: Text = column(
        "Number", pii=Pii.DIRECT, treatment=Token(), sentinels=["ZZZ0000"],
        flag=Flag("number_valid", lambda text: text.startswith("Z") and len(text) == 7, "Whether it is well formed"),
    )  # fmt: skip
    weight: Money = column("Weight", sentinels=["-1"])
    steps: Integer = column("Steps", sentinels=["99999"])
    smokes: Boolean = column("Smokes", sentinels=["9"])
    remark: Text = column("Remark", sentinels=["n/a"], aliases=["comment"])
    letters: TextList = column("Letters")
    hidden: Text = column("Hidden", pii=Pii.SPECIAL, treatment=Drop())


CHECKUPS = Feed(CLINIC, "checkups", Checkups, (r"^checkups_(?P<stamp>\d{8})\.csv$",))

GOOD: Mapping[str, str] = {
    "visit_id": "1",
    "kind": "visit",
    "is_open": "t",
    "seen_at": "2026-01-02T03:04:05Z",
    "changed_at": "2026-01-02T03:04:06Z",
    "day": "2026-01-02",
    "price": "18.50",
    "room": "7",
    "floor": "-1",
    "note": "fine",
    "mood": "good",
    "state": "0",
    "tags": '{a,"b c"}',
    "person": "P-1",
    "patient_no": "77",
    "born": "1980-02-03",
    "zip_code": "02139",
    "file_name": "scan.PDF",
    "began": "2020-XX-01",
    "entries": '["x", null]',
    "ward": "W",
    "secret": "s",
}


def naive(text: str) -> dt.datetime:
    """A time without a zone."""
    return dt.datetime.fromisoformat(text)


def good(**cells: str) -> dict[str, str]:
    """A row without fault, with some cells of its own."""
    return {**GOOD, **cells}


def csv_bytes(rows: Iterable[Mapping[str, str]], columns: Sequence[str] = tuple(GOOD)) -> bytes:
    """Rows as Python's csv module writes them."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows([row[name] for name in columns] for row in rows)
    return text.getvalue().encode()


@dataclass(frozen=True)
class Outcome:
    """A validated dump: counts, and both files read back."""

    validation: Validation
    rows: list[dict[str, Any]]
    rejects: list[dict[str, Any]]
    files: bytes

    @property
    def rules(self) -> dict[int, list[str]]:
        """Rules broken, by row number."""
        return {reject["row_number"]: reject["rules"] for reject in self.rejects}


def deliver(
    dump: bytes,
    *,
    feed: Feed = VISITS,
    compression: Compression | None = None,
    batch_bytes: int = 8 << 20,
    keys: Keys = KEYS,
) -> Outcome:
    """Push a dump through `validate_dump` in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        rows, rejects = Path(folder) / "rows.parquet", Path(folder) / "rejects.parquet"
        validation = validate_dump(
            io.BytesIO(dump),
            feed=feed,
            compression=compression,
            stamp=STAMP,
            delivery_day=DAY,
            keys=keys,
            rows_file=rows,
            rejects_file=rejects,
            batch_bytes=batch_bytes,
        )
        return Outcome(
            validation,
            pq.read_table(rows).to_pylist(),
            pq.read_table(rejects).to_pylist(),
            rows.read_bytes() + rejects.read_bytes(),
        )


def opened(reject: Mapping[str, Any], feed: Feed = VISITS) -> bytes:
    """The sealed row of a reject, in clear."""
    return unseal(
        reject["sealed"],
        ring=KEYS.quarantine,
        version=reject["key_version"],
        context=f"{feed.name}:{reject['row_number']}",
    )
