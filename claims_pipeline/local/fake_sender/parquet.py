"""How rows are written as Parquet: the contract's columns in physical types that differ from file to file.

Belongs here: the choice of a physical type for each column of a dump, as pandas and others leave them (feeds.md 4.2): a
column without a value as `null`, whole numbers as doubles, times in three units or as text, flags as numbers. The
same dump gives the same bytes: format version, compression and row groups are fixed. Does not belong here: text files
(`spelling`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pyarrow
import pyarrow.compute as pc
import pyarrow.parquet

from claims_pipeline.feeds.contract import Column, Drop, Feed
from claims_pipeline.local.fake_sender import fields
from claims_pipeline.local.fake_sender.checks import contract_type
from claims_pipeline.local.fake_sender.defects import RAGGED, Defect
from claims_pipeline.local.fake_sender.dice import SLOTS, Dice, Ints, table
from claims_pipeline.local.fake_sender.sinks import Delivered
from claims_pipeline.local.fake_sender.spelling import Batch, Header, with_sentinels

_WHOLE_IN_DOUBLE = 1 << 53

# Physical types by contract type, and in how many of 1024 dumps a column has each.
_FORMS: tuple[tuple[Callable[[pyarrow.DataType], bool], dict[str, int]], ...] = (
    (pyarrow.types.is_integer, {"natural": 640, "double": 320, "text": 64}),
    (pyarrow.types.is_boolean, {"natural": 560, "int64": 400, "text": 64}),
    (pyarrow.types.is_date32, {"natural": 560, "timestamp[ms]": 200, "timestamp[ns]": 200, "text": 64}),
    (
        pyarrow.types.is_timestamp,
        {"timestamp[us]": 320, "timestamp[ns]": 320, "timestamp[ms]": 256, "timestamp[us, UTC]": 32, "text": 96},
    ),
    (pyarrow.types.is_decimal, {"natural": 480, "double": 480, "text": 64}),
    (pyarrow.types.is_string, {"natural": 760, "dictionary": 200, "large_string": 64}),
    (pyarrow.types.is_list, {"natural": SLOTS}),
)
_SPOILT = {"double": 12.5, "money": 0.125, "int64": 2}  # no whole number, no cents, no boolean


class ParquetWriter:
    """Parquet."""

    def __init__(self, out: Delivered, *, feed: Feed, header: Header, dice: Dice, number: Ints) -> None:
        """Choose the physical types of a dump.

        Args:
            out: where to.
            feed: the contract.
            header: the columns.
            dice: draws.
            number: the dump's, as an array of one.
        """
        self._out = out
        self._header = header
        self._dataset = feed.dataset
        self._timezone = feed.sender.timezone
        self._columns = {column.name: column for column in feed.columns}
        self._physical = {name: self._drawn(self._columns[name], dice, number) for name in header.columns}
        self._writer: pyarrow.parquet.ParquetWriter | None = None
        self.forms: Mapping[str, str] = {}

    def takes(self, defect: Defect) -> bool:
        """Whether the column's physical type can hold the defect; Parquet has no ragged rows and no broken text."""
        if defect is RAGGED:
            return False
        if not defect.texts or defect.column is None:
            return True
        if defect.rule.endswith(".encoding"):
            return False
        return self._physical.get(defect.column) in ("text", "double", "int64")

    def write(self, batch: Batch, *, last: bool) -> None:
        """Write rows as one row group."""
        whole = last and self._writer is None
        made = {name: self._made(name, batch, whole=whole) for name in dict.fromkeys(self._header.columns)}
        arrays = [made[name] for name in self._header.columns]
        if self._writer is None:
            pairs = zip(self._header.names, arrays, strict=True)
            schema = pyarrow.schema([pyarrow.field(name, array.type) for name, array in pairs])
            self.forms = {name: str(array.type) for name, array in zip(self._header.names, arrays, strict=True)}
            self._writer = pyarrow.parquet.ParquetWriter(
                self._out, schema, version="2.6", compression="snappy", write_statistics=False
            )
        self._writer.write_table(
            pyarrow.Table.from_arrays(arrays, schema=self._writer.schema), row_group_size=max(len(batch), 1)
        )
        if last:
            self._writer.close()

    def _drawn(self, column: Column, dice: Dice, number: Ints) -> str:
        if isinstance(column.facts.treatment, Drop):  # never read, so its type is nobody's matter
            return "natural"
        forms = next(forms for is_kind, forms in _FORMS if is_kind(column.arrow))
        pick = dice.pick(f"physical {self._dataset} {column.name}", number, table(list(forms.values())))[0]
        form = list(forms)[pick]
        bounds = [v for check in column.checks for v in (check.statistics or {}).values() if isinstance(v, int)]
        if form == "double" and max(map(abs, bounds), default=0) >= _WHOLE_IN_DOUBLE:
            return "natural"
        # A sentinel is a local time: in UTC it would be another text.
        return "timestamp[us]" if form == "timestamp[us, UTC]" and column.facts.sentinels else form

    def _made(self, name: str, batch: Batch, *, whole: bool) -> pyarrow.Array:
        """A column as it is written. One that holds no value at all has lost its type, if all rows are in sight."""
        values = batch.columns[name]
        patch = batch.texts.get(name)
        if whole and len(values) and values.null_count == len(values) and not patch:
            return pyarrow.nulls(len(values))
        physical = self._physical_values(self._columns[name], values, self._physical[name])
        if not patch:
            return physical
        mask = np.zeros(len(values), dtype=np.bool_)
        mask[fields.as_ints(list(patch))] = True
        if self._physical[name] == "text":
            spoilt = pyarrow.array([text.decode() for text in patch.values()])
        else:
            kind = "money" if pyarrow.types.is_decimal(values.type) else self._physical[name]
            spoilt = pyarrow.array([_SPOILT[kind]] * len(patch), physical.type)
        return pc.replace_with_mask(physical, pyarrow.array(mask), spoilt)

    def _physical_values(self, column: Column, values: pyarrow.Array, form: str) -> pyarrow.Array:
        match form:
            case "natural":
                return values
            case "text" if pyarrow.types.is_timestamp(values.type):
                text = values.cast(pyarrow.timestamp("ms")).cast(pyarrow.string())
                return with_sentinels(column, values, text)
            case "text":
                return values.cast(pyarrow.string())
            case "double" if pyarrow.types.is_decimal(values.type):
                # By way of text: Arrow's own cast may miss the nearest double by its last bit.
                return values.cast(pyarrow.string()).cast(pyarrow.float64())
            case "double":
                return values.cast(pyarrow.float64())
            case "int64":
                return values.cast(pyarrow.int64())
            case "large_string":
                return values.cast(pyarrow.large_string())
            case "dictionary":
                return values.dictionary_encode()
            case "timestamp[us, UTC]":
                return contract_type(values, self._timezone)
            case _:
                return values.cast(pyarrow.timestamp(form.removeprefix("timestamp[").removesuffix("]")))
