"""pandera's built-in checks of a column as Arrow kernels on its typed values: the same verdicts, without pandas.

Belongs here: which checks have such a form, and the form. Does not belong here: running checks and naming rules
(`validate`), and checks that people write themselves: those are pandera's to run.

pandera takes NULLs out before a check (`ignore_na`), so NULL is fine to every form. A check has a form only where its
arguments can be said exactly in the column's own type; everything else (another type to compare with, options, groups,
patterns that RE2 does not know) is left to pandera, so that no form has to guess what pandas would make of it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas
import pyarrow as pa
import pyarrow.compute as pc
from pandera.api.function_dispatch import Dispatcher

Form = Callable[[pa.ChunkedArray], pa.ChunkedArray]
"""Typed values -> true or NULL where the check is fine with a row, false where it is not."""

_COMPARISONS: dict[str, tuple[str, Callable[..., pa.ChunkedArray]]] = {
    "equal_to": ("value", pc.equal),
    "not_equal_to": ("value", pc.not_equal),
    "greater_than": ("min_value", pc.greater),
    "greater_than_or_equal_to": ("min_value", pc.greater_equal),
    "less_than": ("max_value", pc.less),
    "less_than_or_equal_to": ("max_value", pc.less_equal),
}


def arrow_form(check: pandera.pandas.Check, kind: pa.DataType) -> Form | None:
    """The Arrow form of a check on a column; None where it has none.

    Args:
        check: of the contract.
        kind: the column's type.
    """
    if check.groupby is not None or check.element_wise or not check.ignore_na:
        return None
    function = check._check_fn  # a check's public name may be anybody's; the function of a built-in one is a dispatcher
    if not isinstance(function, Dispatcher):
        return None
    try:
        return _form(function.__name__, check._check_kwargs, kind)
    except (_NoFormError, pa.ArrowException, UnicodeEncodeError):
        return None


class _NoFormError(Exception):
    """The check says something that has no exact form in the column's type."""


def _form(name: str, said: dict[str, Any], kind: pa.DataType) -> Form:
    if name in _COMPARISONS:
        argument, compare = _COMPARISONS[name]
        bound = _scalar(said[argument], kind)
        return lambda values: compare(values, bound)
    if name == "in_range":
        low, high = _scalar(said["min_value"], kind), _scalar(said["max_value"], kind)
        above = pc.greater_equal if said["include_min"] else pc.greater
        below = pc.less_equal if said["include_max"] else pc.less
        return lambda values: pc.and_(above(values, low), below(values, high))
    if name in {"isin", "notin"}:
        return _membership(said["allowed_values" if name == "isin" else "forbidden_values"], kind, name == "isin")
    if not pa.types.is_string(kind):
        raise _NoFormError
    if name == "str_length":
        return _length(said)
    if name in {"str_startswith", "str_endswith"}:
        begins_or_ends = pc.starts_with if name == "str_startswith" else pc.ends_with
        part = _scalar(said["string"], kind).as_py()
        return lambda values: begins_or_ends(values, part)
    if name in {"str_matches", "str_contains"}:
        return _pattern(said["pattern"], anchored=name == "str_matches")
    raise _NoFormError


def _scalar(value: object, kind: pa.DataType) -> pa.Scalar:
    """A bound in the column's type. Arrow refuses what does not fit into it."""
    kinds = pa.types
    fits = (
        (kinds.is_integer(kind) and type(value) is int)
        or (kinds.is_string(kind) and type(value) is str)
        or (kinds.is_boolean(kind) and type(value) is bool)
        or (kinds.is_date(kind) and type(value) is dt.date)
        or (kinds.is_decimal(kind) and type(value) in (int, Decimal))
        or (kinds.is_timestamp(kind) and _is_moment(value))
    )
    if not fits:
        raise _NoFormError
    return pa.scalar(Decimal(value) if type(value) is int and kinds.is_decimal(kind) else value, kind)


def _is_moment(value: object) -> bool:
    if isinstance(value, pd.Timestamp):
        return value.tzinfo is not None and value.nanosecond == 0
    return type(value) is dt.datetime and value.tzinfo is not None


def _membership(listed: Iterable[object], kind: pa.DataType, is_in: bool) -> Form:
    if not (pa.types.is_string(kind) or pa.types.is_integer(kind)):
        raise _NoFormError
    known = [_scalar(value, kind).as_py() for value in listed]
    if is_in:
        allowed = pa.array([*known, None], kind)
        return lambda values: pc.is_in(values, value_set=allowed)
    forbidden = pa.array(known, kind)
    return lambda values: pc.invert(pc.is_in(values, value_set=forbidden))


def _length(said: dict[str, Any]) -> Form:
    exact, least, most = said.get("exact_value"), said.get("min_value"), said.get("max_value")
    if any(bound is not None and type(bound) is not int for bound in (exact, least, most)):
        raise _NoFormError
    if exact is not None:
        return lambda values: pc.equal(pc.utf8_length(values), exact)
    if least is None and most is None:
        raise _NoFormError
    least, most = least or 0, np.iinfo(np.int32).max if most is None else most

    def within(values: pa.ChunkedArray) -> pa.ChunkedArray:
        lengths = pc.utf8_length(values)
        return pc.and_(pc.less_equal(lengths, most), pc.greater_equal(lengths, least))

    return within


def _pattern(pattern: object, *, anchored: bool) -> Form:
    if type(pattern) is not str:
        raise _NoFormError
    if anchored:  # as pandas does it
        pattern = f"^({pattern.removeprefix('^')})"
    pc.match_substring_regex(pa.array([""]), pattern)  # raises where RE2 does not know it

    def matches(values: pa.ChunkedArray) -> pa.ChunkedArray:
        return pc.match_substring_regex(values, pattern)

    return matches
