"""What can be wrong with a row: every rule of a contract, turned into a text that breaks that rule and no other.

Belongs here: the catalogue of defects, derived from the contract. Does not belong here: which rows get one
(`dataset`), or checking anything (that is the room `frames`, which must find what is planted here).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import pandera.pandas as pa
import pyarrow

from claims_pipeline.feeds.contract import Column, Drop, Feed
from claims_pipeline.local.fake_sender import fields
from claims_pipeline.local.fake_sender.dialect import Dialect


class PlantedVerdict(StrEnum):
    """What the pipeline is expected to do about a planted defect."""

    QUARANTINED = "quarantined"
    ISSUE = "issue"  # the value becomes NULL, the row is loaded
    WARNING = "warning"  # value and row are kept
    FILTERED = "filtered"
    DUPLICATE = "duplicate"


NOT_LOADED = (PlantedVerdict.QUARANTINED, PlantedVerdict.FILTERED)


@dataclass(frozen=True)
class Defect:
    """One way to spoil a row.

    Attributes:
        rule: id of the rule it breaks.
        verdict: what is expected to become of the row.
        column: the contract's column that is wrong; None for the row as a whole.
        texts: what stands in the column instead (None is NULL), chosen in turn; empty where the dataset itself or the
            engine spoils the row.
        moment: a time instead of a text, in microseconds since 1970, or since the dump's stamp.
        since_stamp: whether `moment` counts from the dump's stamp.
        values: what stands there instead as values of the column's type, each written as the dump writes such values;
            chosen in turn.
    """

    rule: str
    verdict: PlantedVerdict = PlantedVerdict.QUARANTINED
    column: str | None = None
    texts: tuple[bytes | None, ...] = ()
    moment: int | None = None
    since_stamp: bool = False
    values: tuple[object, ...] = ()

    def written(self, dialect: Dialect, stamp: int) -> tuple[bytes | None, ...]:
        """The spoilt values as they stand in a dump with that stamp (microseconds since 1970), quotes included."""
        if self.moment is None:
            return tuple(dialect.field(text) for text in self.texts)
        moment = self.moment + (stamp if self.since_stamp else 0)
        text: bytes = dialect.times(fields.as_ints([moment]))[0].as_py()
        return (dialect.field(text),)


RAGGED = Defect("row.ragged")
DUPLICATE = Defect("row.duplicate", PlantedVerdict.DUPLICATE)

# Texts that are no value of a type, in any spelling that a contract can declare.
UNCASTABLE: tuple[tuple[pyarrow.DataType, tuple[bytes, ...]], ...] = (
    (pyarrow.int64(), (b"12x4", b"n/a", b"1e9x")),
    (pyarrow.int32(), (b"12x4", b"n/a")),
    (pyarrow.int16(), (b"twelve", b"1-2")),
    (pyarrow.bool_(), (b"maybe", b"2")),
    (pyarrow.decimal128(12, 2), (b"12x4", b"n/a", b"1e9x")),
    (pyarrow.list_(pyarrow.string()), (b'{"Army', b"Army")),
    (pyarrow.date32(), (b"2023-02-31", b"2022-02-29", b"0000-01-01")),  # feeds.md 1.8
    (pyarrow.timestamp("us", "UTC"), (b"2023-02-31 10:00:00 UTC", b"0000-01-01 00:00:00 UTC", b"yesterday")),
)
_MISMATCH = b"9021"  # a ZIP with a digit too few; matches no pattern of a contract
_UNHEARD_OF = b"unheard_of"


def catalogue(
    feed: Feed, *, unplanted: frozenset[str] = frozenset(), above: frozenset[str] = frozenset()
) -> tuple[Defect, ...]:
    """Every defect that a single text can cause in a row of the feed, and the two that any row can have.

    Args:
        feed: the contract.
        unplanted: rule ids to leave out, because a text that breaks them breaks another rule as well.
        above: columns that leave their range at its upper end; others do at the lower end.

    Raises:
        ValueError: a pattern of the contract accepts the text that is meant to break it.
    """
    found = [DUPLICATE, RAGGED]
    for column in feed.columns:
        if not isinstance(column.facts.treatment, Drop):  # a dropped column is never read: nothing is wrong in it
            found += _of_type(column)
            found += [
                defect for check in column.checks for defect in _of_check(column, check, above=column.name in above)
            ]
    return tuple(defect for defect in found if defect.rule not in unplanted)


def _of_type(column: Column) -> Iterator[Defect]:
    name, facts = column.name, column.facts
    for arrow, texts in UNCASTABLE:
        if column.arrow == arrow:
            if facts.invalid == "null":
                yield Defect(f"{name}.cast_null", PlantedVerdict.ISSUE, name, texts)
            else:
                yield Defect(f"{name}.cast", column=name, texts=texts)
    if not column.nullable:
        yield Defect(f"{name}.required", column=name, texts=(None,))
    if facts.max_ahead is not None:
        ahead = round(facts.max_ahead.total_seconds()) * fields.SECOND + fields.DAY
        yield Defect(f"{name}.max_ahead", column=name, moment=ahead, since_stamp=True)
    # Only where no check looks at the text: what a check makes of a broken text is not the point.
    if column.arrow == pyarrow.string() and not facts.only and all(c.name == "str_length" for c in column.checks):
        yield Defect(f"{name}.encoding", column=name, texts=(b"M\xe9xico", b"\xff\xfe"))
        yield Defect(f"{name}.nul", column=name, texts=(b"a\x00b",))


def _of_check(column: Column, check: pa.Check, *, above: bool) -> Iterator[Defect]:
    verdict = PlantedVerdict.WARNING if check.raise_warning else PlantedVerdict.QUARANTINED
    rule, bounds = f"{column.name}.{check.name}", check.statistics or {}
    match check.name:
        case "isin":
            yield Defect(rule, verdict, column.name, (_UNHEARD_OF,))
        case "in_range":
            beyond = bounds["max_value"] + 1 if above else bounds["min_value"] - 1
            yield Defect(rule, verdict, column.name, (str(beyond).encode(),))
        case "greater_than_or_equal_to" if column.arrow == pyarrow.timestamp("us", "UTC"):
            first = round(bounds["min_value"].timestamp()) * fields.SECOND
            yield Defect(rule, verdict, column.name, moment=first - fields.DAY)
        case "greater_than_or_equal_to":
            yield Defect(rule, verdict, column.name, (str(bounds["min_value"] - 1).encode(),))
        case "str_length":
            yield Defect(rule, verdict, column.name, (b"x" * (bounds["max_value"] + 1),))
        case "str_matches":
            if re.match(bounds["pattern"], _MISMATCH.decode()):
                raise ValueError(f"{rule}: the pattern accepts the text that is meant to break it")
            yield Defect(rule, verdict, column.name, (_MISMATCH,))
