"""How one dump is written: the spellings that VA code and exports are known to use (feeds.md 1.7), one choice per dump.

Belongs here: kinds of typed columns, and how each is spelled and quoted in a dialect. Does not belong here: what a
column means.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import pyarrow
import pyarrow.compute as pc

from claims_pipeline.local.fake_sender import fields
from claims_pipeline.local.fake_sender.dice import Dice, Ints, Mask

TimestampForm = Literal["rails", "postgres", "iso_z", "iso_offset", "iso_millis", "central"]
TIMESTAMP_FORMS: tuple[TimestampForm, ...] = ("rails", "postgres", "iso_z", "iso_offset", "iso_millis", "central")

_NEEDS_QUOTES = r'[",\r\n]|^$|^\\N$'
_NEEDS_QUOTES_BYTES = re.compile(_NEEDS_QUOTES.encode())
_CENTRAL = 5 * 3600 * fields.SECOND  # -05:00: Central Daylight Time


@dataclass(frozen=True)
class Plain:
    """Text that never needs quotes: digits, identifiers."""

    text: fields.Column


@dataclass(frozen=True)
class Free:
    """Any text; quoted where it must be."""

    text: fields.Column


@dataclass(frozen=True)
class Escaped:
    """Text whose quotes are doubled already; always quoted (JSON)."""

    text: fields.Column


@dataclass(frozen=True)
class Numbers:
    """Whole numbers."""

    values: Ints
    null: Mask | None = None


@dataclass(frozen=True)
class Flags:
    """Booleans."""

    values: Mask
    null: Mask | None = None


@dataclass(frozen=True)
class Times:
    """Microseconds since 1970-01-01 UTC."""

    values: Ints
    null: Mask | None = None


@dataclass(frozen=True)
class Codes:
    """Words of a vocabulary, by index.

    Attributes:
        index: per row.
        words: the vocabulary.
        null: rows that are NULL.
        enum: words that are written as their index in dialects with numbered enums.
    """

    index: Ints
    words: tuple[str, ...]
    null: Mask | None = None
    enum: bool = False


Typed: TypeAlias = Plain | Free | Escaped | Numbers | Flags | Times | Codes


@dataclass(frozen=True)
class Dialect:
    """One way to write CSV. The defaults are PostgreSQL's COPY with a header.

    Attributes:
        timestamps: spelling of times; "postgres" is naive UTC with microseconds, "iso_millis" has milliseconds, the
            others end at seconds; "central" carries -05:00.
        booleans: "tf" or "truefalse".
        enums: "number" (COPY) or "string" (as_json).
        null: unquoted text that stands for NULL.
        quoting: "minimal", or "all" for every value but NULL.
        bom: whether the file begins with a UTF-8 byte order mark.
        eol: line end.
        gzip: whether the file is compressed.
    """

    timestamps: TimestampForm = "postgres"
    booleans: Literal["tf", "truefalse"] = "tf"
    enums: Literal["number", "string"] = "number"
    null: Literal["", "\\N"] = ""
    quoting: Literal["minimal", "all"] = "minimal"
    bom: bool = False
    eol: Literal["\n", "\r\n"] = "\n"
    gzip: bool = False

    def field(self, value: bytes | None) -> bytes | None:
        """One value as it stands in the file; None stays None, which `lines` writes as NULL."""
        if value is None or (self.quoting == "minimal" and not _NEEDS_QUOTES_BYTES.search(value)):
            return value
        return b'"' + value.replace(b'"', b'""') + b'"'

    def times(self, values: Ints, null: Mask | None = None) -> fields.Column:
        """Times in the dialect's spelling, unquoted."""
        days, micros = np.divmod(values - (_CENTRAL if self.timestamps == "central" else 0), fields.DAY)
        seconds, fraction = np.divmod(micros, fields.SECOND)
        date, clock = fields.dates(days), fields.clock(seconds)
        match self.timestamps:
            case "rails":
                return fields.fixed(date, b" ", clock, b" UTC", null=null)
            case "postgres":
                return fields.fixed(date, b" ", clock, b".", fields.digits(fraction, 6), null=null)
            case "iso_z":
                return fields.fixed(date, b"T", clock, b"Z", null=null)
            case "iso_offset":
                return fields.fixed(date, b"T", clock, b"+00:00", null=null)
            case "iso_millis":
                return fields.fixed(date, b"T", clock, b".", fields.digits(fraction // 1000, 3), b"Z", null=null)
            case "central":
                return fields.fixed(date, b"T", clock, b"-05:00", null=null)

    def render(self, column: Typed) -> fields.Column:
        """A typed column as the fields of the file, quotes included; NULL stays NULL."""
        match column:
            case Escaped(text):
                return fields.joined(b'"', text, b'"')
            case Codes(index, words, null, enum):
                spelled = [str(i) for i in range(len(words))] if enum and self.enums == "number" else words
                return fields.taken([self.field(word.encode()) or b"" for word in spelled], index, null)
            case Flags(values, null):
                words = ("f", "t") if self.booleans == "tf" else ("false", "true")
                return self.render(Codes(values.astype(np.int64), words, null))
            case Free(text):
                return self._quoted_where_needed(text)
            case Plain(text):
                return self._quoted(text)
            case Numbers(values, null):
                return self._quoted(fields.numbers(values, null))
            case Times(values, null):
                return self._quoted(self.times(values, null))

    def _quoted(self, text: fields.Column) -> fields.Column:
        return fields.joined(b'"', text, b'"') if self.quoting == "all" else text

    def _quoted_where_needed(self, text: fields.Column) -> fields.Column:
        quoted = fields.joined(b'"', pc.replace_substring(text, pattern='"', replacement='""'), b'"')
        if self.quoting == "all":
            return quoted
        return pc.if_else(pc.match_substring_regex(text, pattern=_NEEDS_QUOTES), quoted, text)

    def header(self, names: list[str]) -> bytes:
        """The file's first line, with the byte order mark where the dialect has one."""
        line = ",".join(f'"{name}"' if self.quoting == "all" else name for name in names) + self.eol
        return (b"\xef\xbb\xbf" if self.bom else b"") + line.encode()

    def lines(self, columns: list[fields.Column]) -> pyarrow.Array:
        """Whole lines, line end included, as one Arrow column of bytes."""
        comma, empty, end = (pyarrow.scalar(text, pyarrow.binary()) for text in (b",", b"", self.eol.encode()))
        nulls = {"null_handling": "replace", "null_replacement": self.null}
        last = pc.binary_join_element_wise(columns[-1], end, empty, **nulls)
        return pc.binary_join_element_wise(*columns[:-1], last, comma, **nulls)


def drawn(dice: Dice, number: int) -> Dialect:
    """A dialect chosen by the dice for the dump with that number."""
    bits = int(dice.bits("dialect", np.array([number], dtype=np.int64))[0])
    return Dialect(
        timestamps=TIMESTAMP_FORMS[(bits >> 32) % len(TIMESTAMP_FORMS)],
        booleans="tf" if bits & 1 else "truefalse",
        enums="number" if bits & 2 else "string",
        null="" if bits & 4 else "\\N",
        quoting="minimal" if bits & 8 else "all",
        bom=bits & 0x30 == 0,
        eol="\n" if bits & 0x40 else "\r\n",
        gzip=bits & 0x180 == 0,
    )
