"""Dumps whose every cell is a canary where its column can hold one: sound, newer, and broken in every way we know.

Belongs here: rows and files, by contract and format. Does not belong here: what a canary looks like (`values`).
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import pyarrow
import pyarrow.parquet

from claims_pipeline.feeds.contract import Column, Drop, Feed, Parquet
from claims_pipeline.feeds.indici import EXTRACTS
from claims_pipeline_tests.canary.values import HIDDEN, Planted, plain, stem_of

DAY = "2026-05-04"
"""Delivery day of all dumps of a round."""

Row = dict[str, str | None]
Maker = Callable[[Feed, Planted], bytes]


@dataclass(frozen=True)
class Dump:
    """One file: key in the inbox, bytes, and what it is (`sound`, `newer`, `broken`, or a way of being unreadable)."""

    feed: Feed
    kind: str
    key: str
    body: bytes = field(repr=False)

    @property
    def file(self) -> str:
        """The key's last part, as commands take it."""
        return PurePosixPath(self.key).name


def dumps_of(feed: Feed, planted: Planted, *, rows: int = 3) -> Iterator[Dump]:
    """Dumps of a feed that can be read: sound rows, newer versions of them, and rows broken in each column in turn."""
    sound = _sound(feed, planted, rows)
    newer = [_newer(feed, row, planted) for row in sound]
    broken = list(_broken(feed, planted, sound[0]))
    yield Dump(feed, "sound", key_of(feed, hour=1), _written(feed, sound))
    yield Dump(feed, "newer", key_of(feed, hour=2), _written(feed, newer))
    if isinstance(feed.format, Parquet):
        yield Dump(feed, "broken", key_of(feed, hour=3), _parquet(feed, broken, typed=False))
        return
    lines = [_csv(feed, broken), *_ragged(feed, broken[0], planted)]
    yield Dump(feed, "broken", key_of(feed, hour=3), b"".join(lines))


def later(feed: Feed, planted: Planted, *, hour: int) -> Dump:
    """A dump of two more sound rows."""
    return Dump(feed, "later", key_of(feed, hour=hour), _written(feed, _sound(feed, planted, 2)))


def unreadable(feed: Feed, planted: Planted, *, first_hour: int = 4) -> Iterator[Dump]:
    """Dumps of a feed that are refused, or loaded with a warning, each for another reason."""
    makers = _OF_PARQUET if isinstance(feed.format, Parquet) else _OF_CSV
    for hour, (kind, make) in enumerate(makers.items(), first_hour):
        suffix = ".csv.gz" if kind.startswith("gzip") else None
        yield Dump(feed, kind, key_of(feed, hour=hour, suffix=suffix), make(feed, planted))


def key_of(feed: Feed, *, hour: int, suffix: str | None = None) -> str:
    """Name of a dump of the day, one an hour, below the sender's prefix."""
    if isinstance(feed.format, Parquet):
        return f"{feed.sender.prefix}{EXTRACTS[feed.dataset][0]}_{DAY.replace('-', '')}{hour:02}0000.parquet"
    name = f"{feed.dataset}_{DAY.replace('-', '')}T{hour:02}0000Z{suffix or '.csv'}"
    return f"{feed.sender.prefix}{feed.dataset}/dt={DAY}/{name}"


# ---------------------------------------------------------------------------------------------- rows


def _row(feed: Feed, planted: Planted, name: str) -> Row:
    """A row that keeps the contract, a canary in every column that can hold one."""
    row: Row = {}
    for column in feed.columns:
        if isinstance(column.facts.treatment, Drop):
            row[column.name] = planted.text(feed, column.name, name, HIDDEN)
            continue
        row[column.name] = planted.fitting(feed, column, name) or plain(column)
    return row


def _sound(feed: Feed, planted: Planted, rows: int) -> list[Row]:
    """Rows that keep the contract, also together: what must be unique, and is one canary for all, is in the first."""
    made = [_row(feed, planted, f"sound {number}") for number in range(rows)]
    for row in made[1:]:
        _unlike(feed, row, made[0])
    return made


def _unlike(feed: Feed, row: Row, other: Row) -> None:
    """Leave unique columns out where they would be those of another row."""
    for column in feed.unique:
        row[column] = None if row[column] == other[column] else row[column]


def _newer(feed: Feed, row: Row, planted: Planted) -> Row:
    """A later version of a row: the same key, everything else new."""
    keys = {column.name for column in feed.columns if column.facts.key}
    fresh = _row(feed, planted, "newer")
    later = {name: _a_day_later(value) for name, value in fresh.items()}
    return {**later, **{name: row[name] for name in (*keys, *feed.unique)}}


def _a_day_later(value: str | None) -> str | None:
    return value.replace("2021-03-09 ", "2021-03-10 ") if value else value


def _broken(feed: Feed, planted: Planted, sound: Row) -> Iterator[Row]:
    """Rows in which one column holds what its type or its rules do not allow; then keys and values given twice."""
    for column in feed.columns:
        if isinstance(column.facts.treatment, Drop):
            continue
        name = f"broken {column.name}"
        row = _row(feed, planted, name)
        _unlike(feed, row, sound)
        row[column.name] = planted.text(feed, column.name, name, stem_of(column))
        yield row
        if not isinstance(feed.format, Parquet):  # no text of Parquet can hold them
            yield {**row, column.name: f"\0{row[column.name]}"}
            yield {**row, column.name: f"\udcff{row[column.name]}"}
    again = _row(feed, planted, "key given twice")
    _unlike(feed, again, sound)
    yield again
    yield {**again, **{c.name: None for c in feed.columns if not c.facts.key and c.nullable and not c.facts.required}}
    for unique in feed.unique:
        yield {**_row(feed, planted, f"{unique} of another row"), unique: sound[unique]}


def _ragged(feed: Feed, row: Row, planted: Planted) -> Iterator[bytes]:
    """Lines with too few and too many fields."""
    yield planted.text(feed, feed.columns[0].name, "too short", HIDDEN).encode() + b"\n"
    cells = [*row.values(), planted.text(feed, feed.columns[-1].name, "too long", HIDDEN)]
    yield _lines([cells])


# ---------------------------------------------------------------------------------------------- files


def _written(feed: Feed, rows: Sequence[Row]) -> bytes:
    return _parquet(feed, rows) if isinstance(feed.format, Parquet) else _csv(feed, rows)


def _lines(rows: Sequence[Sequence[str | None]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode("utf-8", "surrogateescape")


def _csv(feed: Feed, rows: Sequence[Row], *, header: Sequence[str] | None = None) -> bytes:
    return _lines([header or [c.name for c in feed.columns], *(list(row.values()) for row in rows)])


def _parquet(feed: Feed, rows: Sequence[Row], *, typed: bool = True, more: pyarrow.Table | None = None) -> bytes:
    """A Parquet file: columns of the contract's types, or all as text; dropped ones of every type that there is."""
    dropped = iter(range(len(feed.columns)))
    names, arrays = [], []
    for column in feed.columns:
        values = pyarrow.array([row[column.name] for row in rows], pyarrow.string())
        names.append(column.name)
        arrays.append(_typed(column, values, dropped) if typed else values)
    table = pyarrow.table(arrays, names=names)
    for field_ in more.schema if more else ():
        table = table.append_column(field_, more[field_.name])  # type: ignore[index]  # a column per field
    return _bytes_of(table)


def _bytes_of(table: pyarrow.Table) -> bytes:
    file = io.BytesIO()
    pyarrow.parquet.write_table(table, file)  # with statistics, which hold the least and greatest value
    return file.getvalue()


def _typed(column: Column, values: pyarrow.Array, dropped: Iterator[int]) -> pyarrow.Array:
    if isinstance(column.facts.treatment, Drop):
        return _OF_ANY_TYPE[next(dropped) % len(_OF_ANY_TYPE)](values)
    return values.cast(pyarrow.timestamp("us") if pyarrow.types.is_timestamp(column.arrow) else column.arrow)


def _constant(value: object, kind: pyarrow.DataType, values: pyarrow.Array) -> pyarrow.Array:
    return pyarrow.array([value] * len(values), kind)


_OF_ANY_TYPE: tuple[Callable[[pyarrow.Array], pyarrow.Array], ...] = (
    lambda values: values,
    lambda values: values.cast(pyarrow.binary()),
    lambda values: values.dictionary_encode(),
    lambda values: pyarrow.array([[text] for text in values.to_pylist()], pyarrow.list_(pyarrow.string())),
    lambda values: pyarrow.array([{"value": text} for text in values.to_pylist()]),
    lambda values: _constant(int(f"{HIDDEN.digits}0000000"), pyarrow.int64(), values),
    lambda values: _constant(float(f"{HIDDEN.digits}0.25"), pyarrow.float64(), values),
    lambda values: _constant(HIDDEN.day, pyarrow.string(), values).cast(pyarrow.date32()),
    lambda values: _constant(f"{HIDDEN.hour}{HIDDEN.clock}", pyarrow.string(), values).cast(pyarrow.timestamp("us")),
)
"""A dropped column is never read, whatever it holds."""


# ---------------------------------------------------------------------------------------------- unreadable files


def _without_header(feed: Feed, planted: Planted) -> bytes:
    rows = [list(_row(feed, planted, f"without header {n}").values()) for n in range(2)]
    return _lines(rows)


def _half_a_header(feed: Feed, planted: Planted) -> bytes:
    """The header names the contract's columns and, as further columns, what can only be data."""
    data = [planted.text(feed, "?", "in the header", HIDDEN) for _ in range(3)]
    header = [
        *(c.name for c in feed.columns),
        f"{data[0]}@example.org",
        f"{data[1]}, Jane\nMain St",
        f"{HIDDEN.digits}0",
    ]
    row = [*_row(feed, planted, "under a half header").values(), data[2], None, None]
    return _lines([header, row])


def _open_quote(feed: Feed, planted: Planted) -> bytes:
    return _csv(feed, [_row(feed, planted, "before a quote")]) + b'1,"' + _without_header(feed, planted)


def _in_utf16(feed: Feed, planted: Planted) -> bytes:
    return _csv(feed, [_row(feed, planted, "in UTF-16")]).decode().encode("utf-16")


def _torn_gzip(feed: Feed, planted: Planted) -> bytes:
    whole = gzip.compress(_csv(feed, [_row(feed, planted, f"torn {n}") for n in range(200)]))
    return whole[: len(whole) * 2 // 3]


def _no_gzip(feed: Feed, planted: Planted) -> bytes:
    return _csv(feed, [_row(feed, planted, "not compressed")])


def _lacking_a_column(feed: Feed, planted: Planted) -> bytes:
    def name(column: Column) -> str:
        return (
            f"{planted.text(feed, column.name, 'as a name', HIDDEN)}@example.org"
            if column.facts.required
            else column.name
        )

    header = [name(column) for column in feed.columns]
    return _csv(feed, [_row(feed, planted, "under other names")], header=header)


def _torn_parquet(feed: Feed, planted: Planted) -> bytes:
    whole = _parquet(feed, [_row(feed, planted, "torn")])
    return whole[:-20]


def _corrupt_pages(feed: Feed, planted: Planted) -> bytes:
    whole = bytearray(_parquet(feed, [_row(feed, planted, f"corrupt {n}") for n in range(50)]))
    for place in range(200, len(whole) // 2, 97):
        whole[place] ^= 0xFF
    return bytes(whole)


def _other_types(feed: Feed, planted: Planted) -> bytes:
    """Columns that are read come as structures, lists and bytes that are no text."""
    row = _row(feed, planted, "of another type")
    columns = {}
    for number, column in enumerate(feed.columns):
        text = row[column.name] or ""
        columns[column.name] = [
            pyarrow.array([{"value": text}]), pyarrow.array([[text]]), pyarrow.array([b"\xff" + text.encode()]),
            pyarrow.array([text]).dictionary_encode(),
        ][number % 4]  # fmt: skip
    return _bytes_of(pyarrow.table(columns))


def _given_twice(feed: Feed, planted: Planted) -> bytes:
    """A column that is read comes twice, with different content."""
    first, second = (_row(feed, planted, f"twice {n}") for n in range(2))
    name = feed.columns[0].name
    return _parquet(feed, [first], more=pyarrow.table({name: [second[name]]}))


def _drifted_parquet(feed: Feed, planted: Planted) -> bytes:
    name = planted.text(feed, "?", "in the schema", HIDDEN)
    more = pyarrow.table({f"{name}@example.org": [name], "shoe size": [planted.text(feed, "?", "unknown", HIDDEN)]})
    return _parquet(feed, [_row(feed, planted, "with more columns")], more=more)


_OF_CSV: dict[str, Maker] = {
    "without header": _without_header,
    "half a header": _half_a_header,
    "open quote": _open_quote,
    "UTF-16": _in_utf16,
    "gzip, torn": _torn_gzip,
    "gzip, not": _no_gzip,
    "lacking a column": _lacking_a_column,
}
_OF_PARQUET: dict[str, Maker] = {
    "CSV": lambda feed, planted: _csv(feed, [_row(feed, planted, "as CSV")]),
    "torn": _torn_parquet,
    "corrupt pages": _corrupt_pages,
    "other types": _other_types,
    "given twice": _given_twice,
    "drifted": _drifted_parquet,
    "text": lambda feed, planted: _parquet(feed, [_row(feed, planted, "as text")], typed=False),
}
