"""How rows are written as text: CSV in every way that a contract can declare, and JSON Lines.

Belongs here: the texts of values in a dump, quotes, ends of lines. What a contract leaves open (which of its date
forms, which NULL, whether all is quoted) the dice choose for each dump. Does not belong here: Parquet (`parquet`), the
VA's spellings (`dialect`), what values are.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import pyarrow
import pyarrow.compute as pc

from claims_pipeline.feeds.contract import Column, Csv, Feed
from claims_pipeline.local.fake_sender import fields
from claims_pipeline.local.fake_sender.checks import contract_type
from claims_pipeline.local.fake_sender.defects import Defect
from claims_pipeline.local.fake_sender.dice import Dice, Ints
from claims_pipeline.local.fake_sender.proposals import sentinel_of
from claims_pipeline.local.fake_sender.sinks import Delivered

_BOOLEANS = (("f", "t"), ("false", "true"), ("0", "1"))
_JSON_ESCAPES = (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t"), ("\0", "\\u0000"))


@dataclass(frozen=True)
class Header:
    """The columns of a dump, in order.

    Attributes:
        names: as delivered; one may stand twice.
        columns: the contract's column of each.
    """

    names: tuple[str, ...]
    columns: tuple[str, ...]


@dataclass
class Batch:
    """Rows to be written.

    Attributes:
        columns: by contract column; times naive and local.
        texts: by column and row, what stands there instead of the value.
        ragged: rows that are to be broken.
    """

    columns: dict[str, pyarrow.Array]
    texts: dict[str, dict[int, bytes]] = field(default_factory=dict)
    ragged: Sequence[int] = ()

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))


class Writer(Protocol):
    """Writes the rows of one dump."""

    @property
    def forms(self) -> Mapping[str, str]:
        """By delivered column, how its values are written; no value. Complete after the first rows."""

    def takes(self, defect: Defect) -> bool:
        """Whether the defect can be written in this dump."""

    def write(self, batch: Batch, *, last: bool) -> None:
        """Write rows; at least once for a dump, with `last` for the last of them."""


class CsvWriter:
    """CSV."""

    def __init__(self, out: Delivered, *, feed: Feed, csv: Csv, header: Header, dice: Dice, number: Ints) -> None:
        """Choose what the contract leaves open, and write the header.

        Args:
            out: where to.
            feed: the contract.
            csv: its format.
            header: the columns.
            dice: draws.
            number: the dump's, as an array of one.
        """
        self._out = out
        self._header = header
        self._csv = csv
        self._timezone = feed.sender.timezone
        self._columns = {column.name: column for column in feed.columns}
        self._encoder = codecs.getincrementalencoder(csv.encoding)("replace")

        def drawn(name: str, count: int) -> int:
            return int(dice.below(f"csv {feed.dataset} {name}", number, count)[0])

        self._null = (csv.nulls or ("",))[drawn("null", max(len(csv.nulls), 1))]
        self._all_quoted = drawn("quotes", 4) == 0
        self._end = ("\n", "\r\n")[drawn("end", 2)]
        self._booleans = _BOOLEANS[drawn("booleans", len(_BOOLEANS))]
        self._date = (None, *csv.dates)[drawn("date", len(csv.dates) + 1)]
        self._time = ("local", "utc", *csv.timestamps)[drawn("time", len(csv.timestamps) + 2)]
        self._grouped = bool(csv.thousands) and drawn("grouped", 2) == 0
        special = [csv.delimiter, csv.quote, "\r", "\n", *([csv.escape] if csv.escape else [])]
        whole = [f"^{re.escape(text)}$" for text in ("", *csv.nulls)]
        self._needs_quotes = "|".join([*map(re.escape, special), *whole, r"^\s|\s$"])
        names = pyarrow.array(list(header.names), pyarrow.string())
        line = csv.delimiter.join(self._quoted(names).to_pylist()) + self._end
        self._out.write(self._encoder.encode(line))
        self.forms = dict.fromkeys(header.names, "csv")

    def takes(self, defect: Defect) -> bool:
        """Every defect can be written."""
        return True

    def write(self, batch: Batch, *, last: bool) -> None:
        """Write rows."""
        if not len(batch):
            return
        cells = {}
        for name in dict.fromkeys(self._header.columns):
            text = with_sentinels(self._columns[name], batch.columns[name], self._text(batch.columns[name]))
            column = self._quoted(text).cast(pyarrow.binary())
            if patch := batch.texts.get(name):
                texts = [self._raw(text) for text in patch.values()]
                column = fields.patched(column, fields.as_ints(list(patch)), texts)
            cells[name] = column
        ordered = [cells[name] for name in self._header.columns]
        lines = self._lines(ordered)
        if len(batch.ragged):
            rows = fields.as_ints(batch.ragged)
            some = [column.take(pyarrow.array(rows)) for column in ordered]
            longer = self._lines([*some, some[-1]]).to_pylist()
            lines = fields.patched(lines, rows, longer)
        data = b"".join(lines.to_pylist())
        if codecs.lookup(self._csv.encoding).name != "utf-8":
            data = self._encoder.encode(data.decode())
        self._out.write(data)

    def _lines(self, columns: list[fields.Column]) -> pyarrow.Array:
        delimiter, end = (pyarrow.scalar(t.encode(), pyarrow.binary()) for t in (self._csv.delimiter, self._end))
        nulls = {"null_handling": "replace", "null_replacement": self._null.encode()}
        joined = pc.binary_join_element_wise(*columns, delimiter, **nulls)
        return pc.binary_join_element_wise(joined, end, pyarrow.scalar(b"", pyarrow.binary()))

    def _text(self, values: pyarrow.Array) -> pyarrow.Array:
        kinds = pyarrow.types
        if kinds.is_boolean(values.type):
            return pyarrow.array(self._booleans).take(values.cast(pyarrow.int8()))
        if kinds.is_decimal(values.type):
            return self._number(values)
        if kinds.is_date32(values.type):
            return pc.strftime(values, format=self._date) if self._date else values.cast(pyarrow.string())
        if kinds.is_timestamp(values.type):
            return self._moment(values)
        if kinds.is_list(values.type):
            return _as_json(values)
        return values.cast(pyarrow.string())

    def _number(self, values: pyarrow.Array) -> pyarrow.Array:
        text = pc.replace_substring(values.cast(pyarrow.string()), ".", self._csv.decimal)
        for _ in range(4 if self._grouped else 0):  # each time the last three of the digits before the first mark
            mark = self._csv.thousands.replace("\\", "\\\\")
            text = pc.replace_substring_regex(text, r"^(-?[0-9]+)([0-9]{3})", rf"\1{mark}\2")
        return text

    def _moment(self, values: pyarrow.Array) -> pyarrow.Array:
        if self._time == "local":
            return values.cast(pyarrow.timestamp("ms")).cast(pyarrow.string())
        if self._time == "utc":
            return _zoned(values, self._timezone)
        return pc.strftime(pc.floor_temporal(values, unit="second").cast(pyarrow.timestamp("s")), format=self._time)

    def _raw(self, text: bytes) -> bytes:
        """Bytes in quotes, whatever they are."""
        quote = self._csv.quote.encode()
        escape = (self._csv.escape or self._csv.quote).encode()
        return quote + text.replace(quote, escape + quote) + quote

    def _quoted(self, text: pyarrow.Array) -> pyarrow.Array:
        quote, escape = self._csv.quote, self._csv.escape
        if escape:
            inner = pc.replace_substring(pc.replace_substring(text, escape, escape * 2), quote, escape + quote)
        else:
            inner = pc.replace_substring(text, quote, quote * 2)
        quoted = pc.binary_join_element_wise(pyarrow.scalar(quote), inner, pyarrow.scalar(quote), "")
        if self._all_quoted:
            return quoted
        return pc.if_else(pc.match_substring_regex(text, self._needs_quotes), quoted, text)


class JsonLinesWriter:
    """JSON Lines."""

    def __init__(self, out: Delivered, *, feed: Feed, header: Header, dice: Dice, number: Ints) -> None:
        """Choose how the dump is written; see `CsvWriter`."""
        self._out = out
        self._header = header
        self._timezone = feed.sender.timezone
        self._columns = {column.name: column for column in feed.columns}
        self._absent = int(dice.below(f"json null {feed.dataset}", number, 2)[0]) == 0
        self._utc = int(dice.below(f"json time {feed.dataset}", number, 2)[0]) == 0
        self.forms = dict.fromkeys(header.names, "json")

    def takes(self, defect: Defect) -> bool:
        """Every defect can be written, but for bytes that are no text."""
        return all(_is_text(text) for text in defect.texts if text is not None)

    def write(self, batch: Batch, *, last: bool) -> None:
        """Write rows."""
        if not len(batch):
            return
        pieces = []
        for place, (name, column) in enumerate(zip(self._header.names, self._header.columns, strict=True)):
            text = self._json(self._columns[column], batch.columns[column]).cast(pyarrow.binary())
            if patch := batch.texts.get(column):
                texts = [json.dumps(value.decode()).encode() for value in patch.values()]
                text = fields.patched(text, fields.as_ints(list(patch)), texts)
            start = (", " if place else "{") + json.dumps(name) + ": "
            if place and self._absent:
                pieces.append(pc.fill_null(fields.joined(start.encode(), text), b""))
            else:
                pieces.append(fields.joined(start.encode(), pc.fill_null(text, b"null")))
        lines = fields.joined(*pieces, b"}\n")
        if len(batch.ragged):
            rows = fields.as_ints(batch.ragged)
            broken = [
                line[: len(line) // 2].rstrip(b'\\",') + b'"\n' for line in lines.take(pyarrow.array(rows)).to_pylist()
            ]
            lines = fields.patched(lines, rows, broken)
        self._out.write(b"".join(lines.to_pylist()))

    def _json(self, column: Column, values: pyarrow.Array) -> pyarrow.Array:
        kinds = pyarrow.types
        if kinds.is_list(values.type):
            return _as_json(values)
        if kinds.is_boolean(values.type):
            return pyarrow.array(["false", "true"]).take(values.cast(pyarrow.int8()))
        if kinds.is_integer(values.type) or kinds.is_decimal(values.type):
            return values.cast(pyarrow.string())
        if kinds.is_timestamp(values.type) and self._utc:
            text = _zoned(values, self._timezone)
        elif kinds.is_timestamp(values.type):
            text = values.cast(pyarrow.timestamp("ms")).cast(pyarrow.string())
        else:
            text = values.cast(pyarrow.string())
            for character, escaped in _JSON_ESCAPES if kinds.is_string(values.type) else ():
                text = pc.replace_substring(text, character, escaped)
        text = with_sentinels(column, values, text)
        return pc.binary_join_element_wise(pyarrow.scalar('"'), text, pyarrow.scalar('"'), "")


def with_sentinels(column: Column, values: pyarrow.Array, text: pyarrow.Array) -> pyarrow.Array:
    """The texts of values, sentinels spelled as the contract does."""
    sentinel = sentinel_of(column)
    return text if sentinel is None else pc.if_else(pc.equal(values, sentinel), column.facts.sentinels[0], text)


def _zoned(values: pyarrow.Array, timezone: str) -> pyarrow.Array:
    """YYYY-MM-DDTHH:MM:SS.mmmZ."""
    utc = contract_type(values, timezone).cast(pyarrow.timestamp("ms", "UTC")).cast(pyarrow.timestamp("ms"))
    return pc.binary_join_element_wise(pc.replace_substring(utc.cast(pyarrow.string()), " ", "T"), "Z", "")


def _as_json(lists: pyarrow.Array) -> pyarrow.Array:
    texts = [None if value is None else json.dumps(value, ensure_ascii=False) for value in lists.to_pylist()]
    return pyarrow.array(texts, pyarrow.string())


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
