"""What can be wrong with a row of any feed: each rule of a contract, as values that break that rule and no other.

Belongs here: the catalogue for feeds without a world of their own knowledge. What breaks a check is tried on the
contract's own checks, not reckoned. Does not belong here: the VA's catalogue (`defects`, whose spellings are known), or
which rows are spoilt.
"""

from __future__ import annotations

import datetime as dt
import decimal
from collections.abc import Iterator

import pyarrow

from claims_pipeline.feeds.contract import Column, Csv, Drop, Feed, Reduce, Token
from claims_pipeline.local.fake_sender import fields
from claims_pipeline.local.fake_sender.checks import LOCAL, broken_by, contract_type
from claims_pipeline.local.fake_sender.defects import DUPLICATE, RAGGED, UNCASTABLE, Defect, PlantedVerdict

_UTF8 = ("utf-8", "utf8")  # any byte is a letter of the older encodings
_NUMBERS = (-1, 0, 1, 100, 1_000, 32_000, -32_000, 2**31 - 2, -(2**31) + 2, 10**12, -(10**12))
_TEXTS = ("unheard_of", "9021", "x", "?", "~~", "x" * 17, "x" * 65, "x" * 101, "x" * 257, "x" * 513, "x" * 2049)
_DAYS = (dt.date(1901, 1, 1), dt.date(1950, 6, 1), dt.date(1999, 1, 1), dt.date(2090, 1, 1), dt.date(2119, 1, 1))


def catalogue_of(feed: Feed) -> tuple[Defect, ...]:
    """Every defect that one value can cause in a row of the feed, and those that any row can have.

    Left out are rules for which no value was found that breaks them alone, rules on whole rows, and `unique`.
    """
    found = [DUPLICATE, RAGGED]
    for column in feed.columns:
        if not isinstance(column.facts.treatment, Drop):  # a dropped column is never read: nothing is wrong in it
            found += _of_column(feed, column)
    return tuple(found)


def _of_column(feed: Feed, column: Column) -> Iterator[Defect]:
    name, facts, arrow = column.name, column.facts, column.arrow
    lenient = facts.invalid == "null"
    for kind, texts in UNCASTABLE:
        if arrow == kind:
            known = {spelling.encode() for spelling, _ in facts.codes} | {text.encode() for text in facts.sentinels}
            verdict = PlantedVerdict.ISSUE if lenient else PlantedVerdict.QUARANTINED
            rule = f"{name}.cast_null" if lenient else f"{name}.cast"
            yield Defect(rule, verdict, name, tuple(text for text in texts if text not in known))
    if not column.nullable:
        yield Defect(f"{name}.required", column=name, values=(None,))
    for check in column.checks:
        verdict = PlantedVerdict.WARNING if check.raise_warning else PlantedVerdict.QUARANTINED
        if values := _breaking(feed, column, str(check.name)):
            yield Defect(f"{name}.{check.name}", verdict, name, values=values)
    if facts.max_ahead is not None and not any(c.name in ("in_range", "less_than_or_equal_to") for c in column.checks):
        ahead = round(facts.max_ahead.total_seconds()) * fields.SECOND + fields.DAY
        yield Defect(f"{name}.max_ahead", column=name, moment=ahead, since_stamp=True)
    if facts.only:
        yield Defect(f"{name}.only", PlantedVerdict.FILTERED, name, values=("unheard_of",))
    # Only where no check looks at the text: what a check makes of a broken text is not the point.
    elif arrow == pyarrow.string() and not lenient and all(c.name == "str_length" for c in column.checks):
        yield Defect(f"{name}.nul", column=name, values=("a\x00b",))
        if isinstance(feed.format, Csv) and feed.format.encoding.lower() in _UTF8:
            yield Defect(f"{name}.encoding", column=name, texts=(b"M\xe9xico", b"\xff\xfe"))


def _breaking(feed: Feed, column: Column, rule: str) -> tuple[object, ...]:
    """Up to two values that break this check of the column, and none of its others."""
    values = [value for value in _candidates(column) if _fits(column, value)]
    if not values:
        return ()
    arrow = LOCAL if pyarrow.types.is_timestamp(column.arrow) else column.arrow
    typed = contract_type(pyarrow.array(values, arrow), feed.sender.timezone)
    told: list[set[str]] = [set() for _ in values]
    for check in column.checks:
        for place in broken_by(check, typed).nonzero()[0].tolist():
            told[place].add(str(check.name))
    return tuple(value for value, names in zip(values, told, strict=True) if names == {rule})[:2]


def _candidates(column: Column) -> list[object]:
    """Values of the column's type, many of them beyond somebody's bounds."""
    arrow, kinds = column.arrow, pyarrow.types
    if kinds.is_integer(arrow) or kinds.is_decimal(arrow):
        near: list[int] = []
        for check in column.checks:
            for bound in (check.statistics or {}).values():
                if isinstance(bound, int | float | decimal.Decimal) and not isinstance(bound, bool):
                    near += [int(bound) - 1, int(bound) + 1]
        if kinds.is_integer(arrow):
            return [number for number in (*near, *_NUMBERS) if abs(number) < 1 << (arrow.bit_width - 1)]
        return [decimal.Decimal(number) for number in (*near, *_NUMBERS) if abs(number) < 10**10]
    if kinds.is_date32(arrow):
        return list(_DAYS)
    if kinds.is_timestamp(arrow):
        # Not far ahead where that is a rule of its own.
        days = [day for day in _DAYS if column.facts.max_ahead is None or day.year < 2050]
        return [dt.datetime.combine(day, dt.time(12)) for day in days]
    return list(_TEXTS) if kinds.is_string(arrow) else []


def _fits(column: Column, value: object) -> bool:
    """Whether the value reaches the checks as it is: codes and sentinels become others, blanks none."""
    facts = column.facts
    if str(value) in (*facts.sentinels, *(spelling for spelling, _ in facts.codes)):
        return False
    return not (isinstance(facts.treatment, Token | Reduce) and not str(value).strip())
