"""Treatment holds for every feed: what is written outside the raw archive is what the contract stores, and no more."""

from __future__ import annotations

import csv
import datetime as dt
import io
import re
from itertools import product
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from claims_pipeline.feeds import Feed, all_feeds, feeds_of
from claims_pipeline.feeds.contract import Column, Drop, Keep, Parquet, Reduce, Reduction, Token
from claims_pipeline.frames import KeyRing, Keys, make_key_ring, validate_dump
from claims_pipeline.frames.batch import rows_schema
from claims_pipeline.frames.treat import treat
from claims_pipeline.local.fake_sender import CALM, Dialect, Plan, SenderPlan, generate, generate_sender
from claims_pipeline_tests.local.fake_sender_dumps import InMemory

DAY = dt.date(2025, 6, 2)
STAMP = dt.datetime(2025, 8, 1, 12, tzinfo=dt.UTC)
KEYS = Keys(token=KeyRing.parse(make_key_ring()), quarantine=KeyRing.parse(make_key_ring()))
FEEDS = all_feeds()
MADE_BY_LOADER = ["_row_number", "_row_hash"]

Table = list[dict[str, object]]
"""Rows as delivered, by column."""


@pytest.fixture(scope="module")
def delivered() -> dict[str, tuple[Feed, Table]]:
    """A clean dump of every feed: canaries in dropped columns, free ones of tokens, and one that no contract knows."""
    sink = InMemory()
    clean = dict.fromkeys(CALM, 0.0)
    plain = Dialect(gzip=False, bom=False)
    generate(Plan(DAY, days=25, rows=8, dirt=0, dialect=plain), sink)  # remediations come weeks after submissions
    generate_sender(SenderPlan("indici", DAY, days=1, rows=60, dirt=0, troubles=clean), sink)
    found = {}
    for feed in FEEDS:
        keys = [key for key in sink.objects if _is_of(feed, key)]
        rows = [row for key in keys if (row := _read(feed, sink.objects[key]))]
        found[feed.name] = (feed, _planted(feed, max(rows, key=len)))
    return found


def _is_of(feed: Feed, key: str) -> bool:
    name = key.removeprefix(feed.sender.prefix)
    return key.startswith(feed.sender.prefix) and any(re.search(pattern, name) for pattern in feed.file_names)


def _read(feed: Feed, data: bytes) -> Table:
    if isinstance(feed.format, Parquet):
        rows: Table = pq.ParquetFile(io.BytesIO(data)).read().to_pylist()  # a column may come twice
        return rows
    return [dict(row) for row in csv.DictReader(io.StringIO(data.decode(), newline=""))]


def _planted(feed: Feed, rows: Table) -> Table:
    dropped = [c.name for c in feed.columns if isinstance(c.facts.treatment, Drop)]
    named = [c.name for c in feed.columns if isinstance(c.facts.treatment, Token) and not c.checks]
    spelt = {_loose(name): name for name in rows[0]}
    for number, row in enumerate(rows):
        row |= {spelt.get(_loose(name), name): f"canary-{name}-{number}" for name in named}
        row |= {spelt.get(_loose(name), name): f"canary-{name}-{number}" for name in (*dropped, "unknown_to_all")}
    return rows


def _loose(name: str) -> str:
    return name.lower().replace("_", "")


def _written(feed: Feed, rows: Table) -> bytes:
    out = io.BytesIO()
    if isinstance(feed.format, Parquet):
        pq.write_table(pa.Table.from_pylist(rows), out)
        return out.getvalue()
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


@pytest.mark.parametrize("name", [feed.name for feed in FEEDS])
def test_validated_frames_hold_what_the_contract_stores_and_nothing_else(
    name: str, delivered: dict[str, tuple[Feed, Table]], tmp_path: Path
) -> None:
    feed, rows = delivered[name]
    done = validate_dump(
        io.BytesIO(_written(feed, rows)), feed=feed, compression=None, stamp=STAMP, delivery_day=DAY, keys=KEYS,
        rows_file=tmp_path / "rows", rejects_file=tmp_path / "rejects",
    )  # fmt: skip
    frame = pq.read_table(tmp_path / "rows")
    assert done.kept == len(rows) > 0
    assert frame.schema.equals(rows_schema(feed))
    assert frame.column_names == [c.name for c in feed.stored] + MADE_BY_LOADER
    told = [_text(value) for column in frame.columns for value in column.to_pylist()]
    assert not [text for text in told if "canary" in text.lower()]
    assert not _identifying(feed, rows) & set(told)


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _identifying(feed: Feed, rows: Table) -> set[str]:
    """Values as delivered of columns that are stored as tokens or made coarse: none may stand in a frame."""
    changed = {
        _loose(spelling)
        for c in feed.columns
        if isinstance(c.facts.treatment, Token)
        or (isinstance(c.facts.treatment, Reduce) and c.facts.treatment.to is not Reduction.COUNT)
        for spelling in (c.name, *c.facts.aliases)
    }
    found = {_text(value).strip() for row in rows for name, value in row.items() if _loose(name) in changed}
    return {text for text in found if len(text) > 7 and not text.endswith("-01")}  # a first of the month is its month


def test_the_dumps_hold_identifying_values_that_could_be_found(delivered: dict[str, tuple[Feed, Table]]) -> None:
    with_tokens = [f.name for f in FEEDS if any(isinstance(c.facts.treatment, Token) for c in f.columns)]
    assert {name for name in with_tokens if _identifying(*delivered[name])} >= {
        "va_form526/form526_submissions", "indici/patients"
    }  # fmt: skip


# ---------------------------------------------------------------------------------------------- tokens

TOKENS = [(feed, c) for feed in FEEDS for c in feed.columns if isinstance(c.facts.treatment, Token)]


def _family(feed: Feed, column: Column) -> tuple[str, str]:
    treatment = column.facts.treatment
    assert isinstance(treatment, Token)
    return feed.sender.name, treatment.family or column.name


def _token(feed: Feed, column: Column) -> object:
    (found,) = treat(
        pa.array(["1012667145V762142"]), column, sender=feed.sender.name, keys=KEYS.token, delivery_day=DAY
    )
    return found[0].as_py()


def test_a_value_has_one_token_in_a_family_of_a_sender_and_another_everywhere_else() -> None:
    for one, other in product(TOKENS, TOKENS):
        assert (_token(*one) == _token(*other)) is (_family(*one) == _family(*other)), (one[1].name, other[1].name)


def test_a_person_that_two_datasets_know_has_one_token() -> None:
    shared = [_family(*pair) for pair in TOKENS]
    assert ("va_form526", "guid") in {family for family in shared if shared.count(family) > 1}


def test_both_senders_have_tokens() -> None:
    assert {feed.sender.name for feed, _ in TOKENS} == {"va_form526", "indici"}
    assert all(feeds_of(name) for name in ("va_form526", "indici"))


def test_nothing_is_kept_of_a_column_that_identifies_by_itself() -> None:
    kept = [c.name for feed in FEEDS for c in feed.columns if isinstance(c.facts.treatment, Keep) and c.facts.pii == 3]
    assert kept == []
