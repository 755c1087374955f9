"""How dumps are written: the formats that a feed may declare.

Belongs here: declarations. Does not belong here: reading (frames).
"""

from __future__ import annotations

from dataclasses import dataclass

from claims_pipeline.feeds.sidecars import Trailer


@dataclass(frozen=True, kw_only=True)
class TextFormat:
    """How a sender writes values as text.

    Attributes:
        encoding: of the text, a Python codec name; a byte order mark is skipped.
        nulls: spellings of NULL (in CSV unquoted ones).
        decimal: decimal mark of numbers.
        thousands: mark between groups of digits, removed before the cast; empty for none.
        dates: strptime forms of dates besides ISO, such as "%d/%m/%Y"; tried in order.
        timestamps: strptime forms of naive time stamps besides ISO.
    """

    encoding: str = "utf-8"
    nulls: tuple[str, ...] = ("", "\\N")
    decimal: str = "."
    thousands: str = ""
    dates: tuple[str, ...] = ()
    timestamps: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Csv(TextFormat):
    """CSV with a header. Quoted empty text stays '', unquoted empty text is NULL.

    Attributes:
        delimiter: one character between fields.
        quote: one character around fields.
        escape: one character before a quote within a field; None where quotes are doubled.
        trailer: the last row, where it counts and sums up the rows before it; None where all rows are data.
    """

    delimiter: str = ","
    quote: str = '"'
    escape: str | None = None
    trailer: Trailer | None = None


@dataclass(frozen=True, kw_only=True)
class FixedWidth(TextFormat):
    """Lines of fields of fixed widths, without a header. Blanks around a value are no part of it.

    Attributes:
        fields: (column, width in characters) of every field, in order. A shorter line lacks blanks at its end; a
            longer one is set apart.
        header_lines: lines at the start that are no rows.
    """

    fields: tuple[tuple[str, int], ...]
    header_lines: int = 0


@dataclass(frozen=True)
class Parquet:
    """Parquet, whose physical types may differ from file to file: each value is brought to the contract's type."""


@dataclass(frozen=True)
class JsonLines:
    """One JSON object a line; UTF-8. Keys are columns; an absent key and null are NULL."""


Format = Csv | FixedWidth | Parquet | JsonLines
