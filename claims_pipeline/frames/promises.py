"""What was promised of a dump's rows, against the rows that were read.

Belongs here: exact sums of columns as delivered, and the comparison. Does not belong here: where promises come from
(`arrival`, and a CSV's trailer: `csv_source`).

A sum is of text in plain digits, by Python's decimals: no double takes part. NULL counts as nothing; what is no number
counts as nothing, too, and is told. Rows without the header's columns (ragged ones) have no value to be added.
"""

from __future__ import annotations

import decimal
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

from claims_pipeline.errors import BadDump
from claims_pipeline.feeds.contract import TextFormat
from claims_pipeline.feeds.sidecars import Promise
from claims_pipeline.frames.header import SHOWABLE
from claims_pipeline.frames.physical import canonical_text, unwrapped
from claims_pipeline.frames.raw import RawBatch
from claims_pipeline.frames.spelling import plain_numbers

_PLAIN = r"^[+-]?(?:[0-9]{1,60}(?:\.[0-9]{0,60})?|\.[0-9]{1,60})$"
_EXACT = decimal.Context(prec=200, traps=[decimal.Inexact])
"""Digits enough for sums of any number of rows of `_PLAIN`: a sum is exact or an error, never rounded."""
_BLANKS = " \t\n\v\f\r\u00a0"


class Totals:
    """Sums of columns of a dump, as they are delivered.

    Attributes:
        sums: by column; of columns that the dump has.
        unread: values that are no number, by column.
    """

    def __init__(self, columns: Iterable[str], places: Mapping[str, int], written: TextFormat) -> None:
        """Take notice of what is to be summed.

        Args:
            columns: names, as delivered or as in the contract.
            places: place in the dump by either name.
            written: how the sender writes numbers.
        """
        self._places = {name: places[name] for name in columns if name in places}
        self._written = written
        self.sums = dict.fromkeys(self._places, Decimal(0))
        self.unread = dict.fromkeys(self._places, 0)

    def add(self, batch: RawBatch) -> None:
        """Add the rows of a batch."""
        for name, place in self._places.items():
            text, _ = canonical_text(unwrapped(batch.columns[place]))
            text = pc.utf8_trim(text, characters=_BLANKS)
            plain = plain_numbers(text, decimal=self._written.decimal, thousands=self._written.thousands)
            numbers = plain.filter(pc.match_substring_regex(plain, _PLAIN))
            present = pc.and_(pc.is_valid(batch.columns[place]), pc.fill_null(pc.not_equal(text, ""), fill_value=True))
            self.unread[name] += int(pc.sum(pc.cast(present, pa.int64())).as_py() or 0) - len(numbers)
            total = self.sums[name]
            for value in numbers.to_pylist():
                total = _EXACT.add(total, Decimal(value))
            self.sums[name] = total


def compare(promises: Sequence[Promise], totals: Totals, *, feed: str, read: int, ragged: int) -> None:
    """Compare what was promised with what was read.

    Args:
        promises: of the dump.
        totals: the sums of all columns that have a promised total, over all rows.
        feed: its name, for messages.
        read: rows read, ragged ones included.
        ragged: rows that have not the header's columns.

    Raises:
        BadDump: dump.row_count or dump.control_total. No sum is in its message.
    """
    for promise in promises:
        if promise.rows is not None and promise.rows != read:
            raise BadDump(
                "dump.row_count", f"{feed}: {promise.source} promises {promise.rows:,} rows, the dump has {read:,}"
            )
    for promise in promises:
        for column, total in promise.totals.items():
            if column not in totals.sums and read:  # its name is not shown: nothing says that it is one
                raise BadDump(
                    "dump.control_total", f"{feed}: {promise.source} sums up a column that the dump does not have"
                )
            if totals.sums.get(column, Decimal(0)) != total:
                name = column if SHOWABLE.fullmatch(column) else "a column"
                unread = totals.unread.get(column, 0)
                why = f"; {unread:,} values are no numbers" if unread else ""
                why += f"; {ragged:,} rows have not the header's columns" if ragged else ""
                raise BadDump(
                    "dump.control_total",
                    f"{feed}: the sum of {name} over {read:,} rows is not what {promise.source} promises{why}",
                )
