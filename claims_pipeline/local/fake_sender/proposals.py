"""Values that a column's type, and the bounds, patterns and vocabularies among its checks, allow.

Belongs here: reading checks for what they propose; whether a proposed value keeps all of them is tried elsewhere
(`checks`). Does not belong here: which value a row gets (`invented`).
"""

from __future__ import annotations

import contextlib
import datetime as dt
import decimal
import functools
import math
from collections.abc import Iterable
from typing import Any

import pandas as pd
import pyarrow

from claims_pipeline.feeds.contract import Column, Reduce, Reduction
from claims_pipeline.local.fake_sender import fields
from claims_pipeline.local.fake_sender.checks import LOCAL
from claims_pipeline.local.fake_sender.domains import Domain, decimals, in_a_row, listed, whole, words
from claims_pipeline.local.fake_sender.patterns import texts_of
from claims_pipeline.local.fake_sender.texts import TEXTS

FOLLOWED = {  # checks that proposals follow; of the others only a trial tells
    "isin", "in_range", "greater_than", "greater_than_or_equal_to", "less_than", "less_than_or_equal_to", "equal_to",
    "str_matches", "str_length",
}  # fmt: skip

_PAST = 3 * 365  # days before the plan's first in which dates and times lie that no bound places
_LIFETIME = 95 * 365  # the same for dates of birth
_USUAL = 9_999  # numbers without an upper bound stay below
_BITS = {pyarrow.int16(): 15, pyarrow.int32(): 31, pyarrow.int64(): 62}


def proposed(column: Column, first: int, *, distinct: bool) -> Domain:
    """Values that the column's type and the bounds among its checks allow."""
    arrow, kinds = column.arrow, pyarrow.types
    allowed = _statistic(column, "isin", "allowed_values")
    if allowed is not None:
        listed_values = [value for value in allowed if value is not None]
        kind = LOCAL if kinds.is_timestamp(arrow) else arrow
        return listed(pyarrow.array(listed_values, kind))
    if column.facts.only:
        return words(column.facts.only)
    if kinds.is_string(arrow):
        return _text(column, distinct=distinct)
    if kinds.is_boolean(arrow):
        return listed(pyarrow.array([False, True]))
    if kinds.is_list(arrow):
        return listed(pyarrow.array([[], ["a"], ["b", "c d"], ['quoted "x"', "a,b"]], arrow))
    if kinds.is_integer(arrow):
        most = (1 << _BITS[arrow]) - 1
        low, high = _limits(column, least=int(distinct), span=most if distinct else _USUAL)
        return whole(low, min(high, most), arrow)
    if kinds.is_decimal(arrow):
        return decimals(*_limits(column, least=0, span=100 * _USUAL), arrow)
    if kinds.is_date32(arrow):
        return whole(*_period(column, first), arrow)
    if kinds.is_timestamp(arrow):
        begin, end = _period(column, first)
        seconds = whole(begin * fields.DAY_SECONDS, end * fields.DAY_SECONDS, pyarrow.timestamp("s"))
        return Domain(seconds.size, lambda index: seconds.at(index).cast(LOCAL))
    raise ValueError(f"no way to invent values of type {arrow} for {column.name}")


def _limits(column: Column, *, least: int, span: int) -> tuple[int, int]:
    """The column's bounds; from `least` on, and so far, where it has none."""
    low, high = bounds(column, None, None)
    if low is None:
        low = least if high is None or high >= least else high - span
    return low, low + span if high is None else high


def _text(column: Column, *, distinct: bool) -> Domain:
    for name in ("str_matches", "str_contains"):
        pattern = _statistic(column, name, "pattern")
        if pattern is not None:
            return texts_of(getattr(pattern, "pattern", pattern), distinct=distinct)
    begin, end = _statistic(column, "str_startswith", "string"), _statistic(column, "str_endswith", "string")
    if begin or end:
        return in_a_row([words([begin or ""]), texts_of(r"\w{1,12}", distinct=distinct), words([end or ""])])
    least, most = _statistic(column, "str_length", "min_value"), _statistic(column, "str_length", "max_value")
    exact = _statistic(column, "str_length", "exact_value")
    least, most = (exact, exact) if exact is not None else (least or 0, most)
    if distinct:
        return in_a_row([words("0123456789")] * max(least, min(most or 12, 12)))
    fitting = [text for text in TEXTS if least <= len(text) and (most is None or len(text) <= most)]
    return words(fitting) if fitting else in_a_row([words("abcdefgh")] * least)


def _period(column: Column, first: int) -> tuple[int, int]:
    """First and last day since 1970, both well within the column's bounds."""
    low, high = bounds(column, None, None)
    if low is not None and high is not None:
        return (low, high) if high - low < 3 else (low + 1, high - 1)
    if low is not None:
        return max(low + 1, first - _PAST), max(low + 2, first - 1)
    last = first - 1 if high is None else min(high - 1, first - 1)
    treatment = column.facts.treatment
    of_birth = isinstance(treatment, Reduce) and treatment.to is Reduction.BIRTH_YEAR
    return last - (_LIFETIME if of_birth else _PAST), last


def bounds(column: Column, low: Any, high: Any) -> tuple[Any, Any]:  # noqa: ANN401 - int or None, as given
    """The column's bounds as whole numbers: digits of the last place for decimals, days for dates and times."""
    lows = [_whole(column, v, up=True) for v in _stated(column, "greater_than_or_equal_to", "min_value")]
    lows += [_whole(column, v, up=True) + 1 for v in _stated(column, "greater_than", "min_value")]
    highs = [_whole(column, v, up=False) for v in _stated(column, "less_than_or_equal_to", "max_value")]
    highs += [_whole(column, v, up=False) - 1 for v in _stated(column, "less_than", "max_value")]
    for check in column.checks:
        if check.name == "in_range":
            statistics = check.statistics or {}
            lows.append(_whole(column, statistics["min_value"], up=True) + (not statistics.get("include_min", True)))
            highs.append(_whole(column, statistics["max_value"], up=False) - (not statistics.get("include_max", True)))
        elif check.name == "equal_to":
            value = _whole(column, (check.statistics or {})["value"], up=True)
            lows, highs = [*lows, value], [*highs, value]
    return max(lows, default=low), min(highs, default=high)


def _stated(column: Column, check: str, name: str) -> Iterable[Any]:
    return [(c.statistics or {})[name] for c in column.checks if c.name == check]


def _statistic(column: Column, check: str, name: str) -> Any:  # noqa: ANN401 - whatever the check was given
    return next(((c.statistics or {}).get(name) for c in column.checks if c.name == check), None)


def _whole(column: Column, value: Any, *, up: bool) -> int:  # noqa: ANN401 - whatever the check was given
    if pyarrow.types.is_date32(column.arrow) or pyarrow.types.is_timestamp(column.arrow):
        moment = pd.Timestamp(value)
        return (moment.date() - dt.date(1970, 1, 1)).days
    number = decimal.Decimal(str(value))
    if pyarrow.types.is_decimal(column.arrow):
        number = number.scaleb(column.arrow.scale)
    return math.ceil(number) if up else math.floor(number)


@functools.cache
def sentinel_of(column: Column) -> pyarrow.Scalar | None:
    """The column's first sentinel as a value; None where it has none of its type."""
    kind = LOCAL if pyarrow.types.is_timestamp(column.arrow) else column.arrow
    for text in column.facts.sentinels[:1]:
        with contextlib.suppress(pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError):
            return pyarrow.scalar(text, pyarrow.string()).cast(kind)
    return None
