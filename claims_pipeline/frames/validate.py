"""Rules on typed values: which rows of a batch break which rule of the contract.

Belongs here: NULLs where none may be, time stamps ahead of the dump, and the contract's pandera checks. Does not belong
here: what happens to the rows (`dump`), and casts.

Checks that come with pandera run on Arrow arrays (`checks_arrow`). The others, which people write, are run as pandera
runs them, and only for them a pandas frame is made. They run one by one and not as a schema: a schema's report of
failures holds the failing values, and loses the row of some table checks; its warnings quote values too.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas
import pyarrow as pa
import pyarrow.compute as pc
from pandera.api.function_dispatch import Dispatcher

from claims_pipeline.errors import ClaimsPipelineError
from claims_pipeline.feeds.contract import Feed
from claims_pipeline.frames.checks_arrow import arrow_form
from claims_pipeline.frames.masks import Mask


@dataclass(frozen=True)
class Broken:
    """Rows that break one rule.

    Attributes:
        rule: "<column>.<check>" or "row.<check>".
        column: the contract's column; None for a rule on the whole row.
        rows: mask over the batch.
    """

    rule: str
    column: str | None
    rows: Mask


class Rules:
    """The rules of one feed for one dump. Several threads may use it at once."""

    def __init__(self, feed: Feed, *, read: Collection[str], absent: Collection[str], stamp: dt.datetime) -> None:
        """Prepare the rules.

        Args:
            feed: the contract.
            read: names of its columns that batches hold, the absent ones (all NULL) included.
            absent: names of columns that the dump lacks; NULL is allowed there.
            stamp: the dump's own time stamp, UTC.
        """
        columns = [c for c in feed.columns if c.name in read]
        self._feed = feed.name
        self._required = [c.name for c in columns if not c.nullable and c.name not in absent]
        self._latest = {
            c.name: pa.scalar(stamp + c.facts.max_ahead, c.arrow) for c in columns if c.facts.max_ahead is not None
        }
        checks = [(c.name, check, arrow_form(check, c.arrow)) for c in columns for check in c.checks]
        self._built_in = [(column, check, form) for column, check, form in checks if form is not None]
        self._written: list[tuple[str | None, pandera.pandas.Check]] = [
            *((column, check) for column, check, form in checks if form is None),
            *((None, check) for check in feed.schema.checks),
        ]

    def judge(self, table: pa.Table) -> tuple[list[Broken], list[Broken]]:
        """Find the rows that break a rule, and those that break a rule that is only advice.

        Args:
            table: typed rows, one column per name in `read`.

        Raises:
            ClaimsPipelineError: a check of the contract could not be run; it names the rule.
        """
        broken = [
            Broken(f"{name}.required", name, _true(pc.is_null(table[name])))
            for name in self._required
            if table[name].null_count
        ]
        for name, latest in self._latest.items():
            broken += _where_false(pc.less_equal(table[name], latest), f"{name}.max_ahead", name)
        advice: list[Broken] = []
        for name, check, form in self._built_in:
            found = _where_false(form(table[name]), f"{name}.{check.name}", name)
            (advice if check.raise_warning else broken).extend(found)
        if self._written:
            frame = table.to_pandas(types_mapper=pd.ArrowDtype)
            for column, check in self._written:
                (advice if check.raise_warning else broken).append(self._run(check, column, frame))
        return [b for b in broken if b.rows.any()], [b for b in advice if b.rows.any()]

    def _run(self, check: pandera.pandas.Check, column: str | None, frame: pd.DataFrame) -> Broken:
        """The rows where a check says False. It says nothing about NULLs, by leaving them out or by NA."""
        rule = f"{column or 'row'}.{check.name}"
        rows = _rows_broken(check, column, frame)
        if rows is None:
            raise ClaimsPipelineError(
                f"{self._feed}: the rule {rule} could not be run on rows; it raised, or gave no value per row"
            )
        return Broken(rule, column, rows)


def _rows_broken(check: pandera.pandas.Check, column: str | None, frame: pd.DataFrame) -> Mask | None:
    """The rows that a check is not fine with; None when it says something else than that."""
    rows = np.zeros(len(frame), np.bool_)
    try:
        said = _said(check, column, frame)
        if isinstance(said, pd.Series):
            fine = said.fillna(value=True).to_numpy(dtype=np.bool_)
            if fine.all():
                return rows
            # Its index is the frame's, less the NULLs; that of a check on groups is not.
            if check.groupby is None and said.index.isin(frame.index).all():
                rows[said.index[~fine]] = True
                return rows
        elif isinstance(said, pd.DataFrame):
            return rows if said.fillna(value=True).to_numpy(dtype=np.bool_).all() else None
        elif isinstance(said, bool | np.bool_) and said:
            return rows
    except Exception:  # a contract's own code; whatever it raised may quote values
        return None
    return None


def _said(check: pandera.pandas.Check, column: str | None, frame: pd.DataFrame) -> object:
    function = check._check_fn
    is_function = type(check) is pandera.pandas.Check and not isinstance(function, Dispatcher)
    if is_function and check.groupby is None and not check.element_wise:
        # As pandera's backend does it; to ask for that imports hypothesis and more: 0.35 s of every run's process.
        data = frame if column is None else frame[column]
        return function(data.dropna() if column and check.ignore_na else data, **check._check_kwargs)
    if column is None:
        # Not check(frame): that goes on to collect failing values, and fails where some rows got False, others NA.
        backend: Any = check.get_backend(frame)(check)  # pandera's, without types
        return backend.apply(backend.preprocess(frame, None))
    if check.groupby is not None:
        return check(frame, column).check_output
    return check(frame[column]).check_output


def _where_false(fine: pa.ChunkedArray, rule: str, column: str) -> list[Broken]:
    if pc.all(fine, min_count=0).as_py():  # which leaves NULLs out
        return []
    return [Broken(rule, column, _true(pc.invert(fine)))]


def _true(condition: pa.ChunkedArray) -> Mask:
    mask: Mask = pc.fill_null(condition, fill_value=False).to_numpy()
    return mask.astype(np.bool_, copy=False)
