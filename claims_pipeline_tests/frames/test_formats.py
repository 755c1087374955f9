"""The same rows in every format, dialect and physical type end in the same rows file."""

from __future__ import annotations

import bz2
import csv
import dataclasses
import datetime as dt
import gzip
import io
import json
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from claims_pipeline.feeds.contract import Csv, JsonLines, Parquet
from claims_pipeline.frames.stream import Compression

from .samples import CHECKUPS, Outcome, deliver, naive, relaxed

Row = dict[str, Any]
NAMES = [column.name for column in CHECKUPS.columns]
words = st.text(st.sampled_from(list("ab ,;|\"'\\\n\u0101e\u0304\u20ac01\u00a0")), max_size=6).filter(
    lambda text: text not in {"\\N", "n/a"} and text.strip() != "n/a"
)
moments = st.datetimes(naive("1677-10-01 00:00"), naive("2262-01-01 00:00")).map(
    lambda at: at.replace(microsecond=at.microsecond // 1000 * 1000)
)
rows = st.lists(
    st.fixed_dictionaries(
        {
            "at": st.none() | moments,
            "born": st.none() | st.dates(dt.date(1800, 1, 1), dt.date(2200, 1, 1)),
            "number": st.none() | st.sampled_from(["ZAC5361", "ABC123", "007"]),
            "weight": st.none() | st.decimals(-(10**6), 10**6, places=2),
            "steps": st.none() | st.integers(-(1 << 23), 1 << 23),
            "smokes": st.none() | st.booleans(),
            "remark": st.none() | words,
            "letters": st.none() | st.lists(st.none() | words, max_size=3),
            "hidden": st.none() | words,
        }
    ),
    max_size=8,
).map(lambda some: [{"checkup_id": 10**17 + i, **row} for i, row in enumerate(some)])


def content(outcome: Outcome) -> list[Row]:
    assert outcome.rules == {}
    return outcome.rows


def as_csv(table: list[Row], dialect: Csv) -> bytes:
    def cell(value: Any) -> str:
        match value:
            case None:
                return "\0"
            case dt.datetime() if dialect.timestamps:
                return value.strftime(f"{value.year:04d}/%m/%d %I:%M:%S.%f %p")
            case dt.date() if dialect.dates and not isinstance(value, dt.datetime):
                return value.strftime(f"%d-%b-{value.year:04d}")
            case Decimal() | int() if not isinstance(value, bool):
                text = f"{value:,}" if dialect.thousands else str(value)
                return text.translate(str.maketrans(",.", f"{dialect.thousands or ','}{dialect.decimal}"))
            case list():
                return json.dumps(value)
        return str(value)

    text = io.StringIO(newline="")
    writer = csv.writer(
        text, quoting=csv.QUOTE_ALL, delimiter=dialect.delimiter, quotechar=dialect.quote, lineterminator="\n",
        escapechar=dialect.escape, doublequote=dialect.escape is None,
    )  # fmt: skip
    writer.writerow(NAMES)
    writer.writerows([cell(row[name]) for name in NAMES] for row in table)
    bare = text.getvalue().replace(f"{dialect.quote}\0{dialect.quote}", "")
    return bare.encode(dialect.encoding)


DIALECTS = [
    Csv(),
    Csv(encoding="utf-8-sig", delimiter=";", quote="'"),
    Csv(encoding="utf-16", delimiter="\t", decimal=",", thousands="."),
    Csv(encoding="utf-16-be", escape="\\", thousands=" ", decimal=","),
    Csv(escape="\\", dates=("%d-%b-%Y",), timestamps=("%Y/%m/%d %I:%M:%S.%f %p",)),
]


@relaxed
@given(rows, st.sampled_from(DIALECTS), st.sampled_from([64, 8 << 20]))
def test_every_csv_dialect_says_the_same(table: list[Row], dialect: Csv, batch_bytes: int) -> None:
    feed = dataclasses.replace(CHECKUPS, format=dialect)
    dump = as_csv(table, dialect)
    assert content(deliver(dump, feed=feed, batch_bytes=batch_bytes)) == content(
        deliver(as_csv(table, Csv()), feed=CHECKUPS)
    )


PHYSICAL: dict[str, list[pa.DataType]] = {
    "checkup_id": [pa.int64(), pa.uint64(), pa.string(), pa.decimal128(20, 0), pa.decimal128(30, 2)],
    "at": [pa.timestamp(u) for u in ("ms", "us", "ns")] + [pa.string(), pa.large_string()],
    "born": [pa.date32(), pa.date64(), pa.timestamp("s"), pa.timestamp("ns"), pa.string()],
    "number": [pa.string(), pa.dictionary(pa.int8(), pa.string()), pa.binary(), pa.string_view()],
    "weight": [pa.decimal128(12, 2), pa.decimal128(38, 18), pa.decimal256(40, 4), pa.float64(), pa.string()],
    "steps": [pa.int32(), pa.int64(), pa.float64(), pa.float32(), pa.string(), pa.decimal64(12, 1)],
    "smokes": [pa.bool_(), pa.int64(), pa.int8(), pa.float64(), pa.string()],
    "remark": [pa.string(), pa.large_string(), pa.binary(), pa.dictionary(pa.int32(), pa.string())],
    "letters": [pa.list_(pa.string()), pa.large_list(pa.large_string()), pa.string()],
    "hidden": [pa.string()],
}


def physical(values: list[Any], kind: pa.DataType) -> pa.Array:
    if all(value is None for value in values) and kind != pa.date64():
        return pa.nulls(len(values))
    word = kind if not pa.types.is_dictionary(kind) else kind.value_type
    if (
        pa.types.is_string(word)
        or pa.types.is_large_string(word)
        or pa.types.is_binary(word)
        or word == pa.string_view()
    ):
        texts = [None if v is None else json.dumps(v) if isinstance(v, list) else str(v) for v in values]
        encoded = [None if t is None else t.encode() for t in texts] if pa.types.is_binary(word) else texts
        return pa.array(encoded, word).cast(kind)
    if pa.types.is_floating(kind):
        return pa.array([None if v is None else float(v) for v in values], kind)
    if pa.types.is_integer(kind):
        return pa.array([None if v is None else int(v) for v in values], kind)
    if pa.types.is_timestamp(kind) and any(type(v) is dt.date for v in values):
        return pa.array(values, pa.date32()).cast(kind)
    return pa.array(values, kind)


def as_parquet(columns: dict[str, pa.Array], **options: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file, **options)
    return file.getvalue()


types = st.fixed_dictionaries({name: st.sampled_from(kinds) for name, kinds in PHYSICAL.items()})


@relaxed
@given(rows, types, st.sampled_from([1, 3, 1000]), st.sampled_from([100, 8 << 20]))
def test_every_physical_type_says_the_same(
    table: list[Row], kinds: dict[str, pa.DataType], group: int, batch_bytes: int
) -> None:
    feed = dataclasses.replace(CHECKUPS, format=Parquet())
    columns = {name: physical([row[name] for row in table], kind) for name, kind in kinds.items()}
    outcome = deliver(as_parquet(columns, row_group_size=group), feed=feed, batch_bytes=batch_bytes)
    assert content(outcome) == content(deliver(as_csv(table, Csv()), feed=CHECKUPS))


def as_json_lines(table: list[Row], *, sparse: bool) -> bytes:
    def plain(value: Any) -> Any:
        return float(value) if isinstance(value, Decimal) else str(value) if isinstance(value, dt.date) else value

    keep = [{k: plain(v) for k, v in row.items() if not sparse or v is not None} for row in table]
    return "".join(json.dumps(row, ensure_ascii=sparse) + "\n" for row in keep).encode()


@relaxed
@given(rows, st.booleans(), st.sampled_from([50, 8 << 20]))
def test_json_lines_say_the_same(table: list[Row], sparse: bool, batch_bytes: int) -> None:
    feed = dataclasses.replace(CHECKUPS, format=JsonLines())
    outcome = deliver(as_json_lines(table, sparse=sparse), feed=feed, batch_bytes=batch_bytes)
    assert content(outcome) == content(deliver(as_csv(table, Csv()), feed=CHECKUPS))


def zstd(dump: bytes) -> bytes:
    packed: bytes = pa.Codec("zstd").compress(dump).to_pybytes()
    return packed


TABLE = [dict.fromkeys(NAMES) | {"checkup_id": i, "remark": f"{i * 7919}"} for i in range(2000)]
PACKERS: dict[Compression, Any] = {"gzip": gzip.compress, "bz2": bz2.compress, "zstd": zstd}


@pytest.mark.parametrize("compression", PACKERS)
@pytest.mark.parametrize("form", [Csv(), JsonLines(), Parquet()], ids=["csv", "json lines", "parquet"])
def test_every_format_may_be_compressed(form: Csv | JsonLines | Parquet, compression: Compression) -> None:
    feed = dataclasses.replace(CHECKUPS, format=form)
    columns = {name: physical([row[name] for row in TABLE], PHYSICAL[name][0]) for name in NAMES}
    plain = {
        Csv: as_csv(TABLE, Csv()),
        JsonLines: as_json_lines(TABLE, sparse=True),
        Parquet: as_parquet(columns),
    }[type(form)]
    outcome = deliver(PACKERS[compression](plain), feed=feed, compression=compression)
    assert outcome.rows == deliver(plain, feed=feed).rows
    assert outcome.validation.kept == 2000


@pytest.mark.parametrize("form", [JsonLines(), Parquet()], ids=["json lines", "parquet"])
def test_nothing_dropped_or_tokenised_gets_out_of_any_format(form: JsonLines | Parquet) -> None:
    row = {"checkup_id": 1, "number": "Canary1", "hidden": "Canary2", "born": "1931-07-19", "unknown": "Canary3"}
    table = [row, {**row, "checkup_id": 2, "steps": 1.5}]
    names = list(table[1])
    columns = {name: pa.array([row.get(name) for row in table]) for name in names}
    dump = as_parquet(columns) if isinstance(form, Parquet) else "\n".join(map(json.dumps, table)).encode()
    outcome = deliver(dump, feed=dataclasses.replace(CHECKUPS, format=form))
    assert outcome.rules == {2: ["steps.cast"]}
    assert b"Canary" not in outcome.files
    assert "Canary" not in repr((outcome.rows, outcome.validation))
