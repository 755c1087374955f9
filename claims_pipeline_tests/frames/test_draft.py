"""A drafted contract imports, is conservative, and holds no value of the sample."""

from __future__ import annotations

import datetime as dt
import gzip
import importlib.util
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from claims_pipeline.errors import BadDump
from claims_pipeline.feeds.contract import Csv, Drop, Feed, Parquet
from claims_pipeline.frames.draft import draft

CSV = """VisitID;Ward;PatientName;Code;Weight;Admitted;UpdatedAt;Contact;Remarks2;Free
1;North;canary-j;007;60.5;2026-01-01;2026-01-01 10:00:00;canary@example.org;;canary: over forty characters of free text
2;South;canary-joe;012;61.25;2026-01-02;2026-01-02 10:00:00;;;short
"""


def _feed(text: str, folder: Path) -> Feed:
    path = folder / "drafted_sender.py"
    path.write_text(text)
    spec = importlib.util.spec_from_file_location("drafted_sender", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (feed,) = module.FEEDS
    assert isinstance(feed, Feed)
    return feed


@pytest.fixture
def drafted(tmp_path: Path) -> tuple[str, Feed]:
    sample = tmp_path / "visits_20260101120000.csv"
    sample.write_text(CSV)
    text = draft(sample, sender="clinic")
    return text, _feed(text, tmp_path)


def test_it_names_sender_dataset_key_and_version(drafted: tuple[str, Feed]) -> None:
    _, feed = drafted
    assert (feed.name, feed.key, feed.version) == ("clinic/visits", ("visit_id",), "updated_at")
    assert isinstance(feed.format, Csv)
    assert feed.format.delimiter == ";"


def test_what_looks_personal_by_name_or_value_or_length_is_dropped(drafted: tuple[str, Feed]) -> None:
    _, feed = drafted
    dropped = {c.name for c in feed.columns if isinstance(c.facts.treatment, Drop)}
    assert dropped == {"patient_name", "contact", "remarks2", "free"}


def test_types_are_told_where_they_are_sure_and_text_elsewhere(drafted: tuple[str, Feed]) -> None:
    _, feed = drafted
    types = {c.name: c.arrow for c in feed.columns}
    assert types["visit_id"] == pa.int64()
    assert types["code"] == pa.string()  # leading zeros
    assert types["weight"] == pa.decimal128(12, 2)
    assert types["admitted"] == pa.date32()
    assert types["updated_at"] == pa.timestamp("us", "UTC")


def test_the_name_of_the_sample_becomes_a_pattern_with_a_stamp(drafted: tuple[str, Feed]) -> None:
    _, feed = drafted
    assert feed.file_names == (r"^visits_(?P<stamp>[0-9TZ]+)\.csv$",)


def test_no_value_of_the_sample_is_in_it(drafted: tuple[str, Feed]) -> None:
    text, _ = drafted
    assert not [value for value in ("canary", "North", "South", "007", "61.25", "2026-01-02") if value in text]


def test_a_compressed_sample_gives_the_same_columns(tmp_path: Path, drafted: tuple[str, Feed]) -> None:
    sample = tmp_path / "visits_20260101120000.csv.gz"
    sample.write_bytes(gzip.compress(CSV.encode()))
    feed = _feed(draft(sample, sender="clinic"), tmp_path)
    assert (feed.name, feed.columns) == (drafted[1].name, drafted[1].columns)
    assert feed.file_names == (r"^visits_(?P<stamp>[0-9TZ]+)\.csv\.gz$",)


def test_a_parquet_sample_gives_a_parquet_feed(tmp_path: Path) -> None:
    sample = tmp_path / "Beds_20260101.parquet"
    seen = [dt.datetime(2026, 1, 1, 8, tzinfo=dt.UTC), None]
    table = pa.table({"BedID": [1, 2], "SeenAt": seen, "Floor": ["a", "b"]})
    pq.write_table(table, sample)
    feed = _feed(draft(sample, sender="clinic"), tmp_path)
    assert (feed.name, feed.key, feed.names) == ("clinic/beds", ("bed_id",), "loose")
    assert isinstance(feed.format, Parquet)


@pytest.mark.parametrize("name", ["broken.parquet", "broken.csv", "broken.csv.gz"])
def test_a_file_of_another_kind_is_refused_without_its_content(tmp_path: Path, name: str) -> None:
    sample = tmp_path / name
    sample.write_bytes(b"\xff\xfecanary\x00\n\xff")
    with pytest.raises(BadDump) as refused:
        draft(sample, sender="clinic")
    assert "canary" not in str(refused.value)


@pytest.mark.parametrize(
    "value",
    ["4711", "-1.50", "1950-02-01", "2026-01-01 10:00:00", "c@example.org", "0a739184-65cc-4c0d-8bad-000000000001"],
)
def test_a_first_line_that_is_data_is_refused_without_its_content(tmp_path: Path, value: str) -> None:
    sample = tmp_path / "headless.csv"
    sample.write_text(f"canary,{value},x\ncanary,{value},y\n")
    with pytest.raises(BadDump) as refused:
        draft(sample, sender="clinic")
    assert ("field 2" in str(refused.value), "canary" in str(refused.value)) == (True, False)


def test_a_name_that_is_no_identifier_is_not_told(tmp_path: Path) -> None:
    sample = tmp_path / "names.csv"
    sample.write_text("visit_id,canary; Main St 4\n1,x\n")
    text = draft(sample, sender="clinic")
    assert ("column_2" in text, "canary" in text.lower()) == (True, False)
