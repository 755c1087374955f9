"""Rules on typed values: which rows of a batch break which rule of the contract.

Belongs here: NULLs where none may be, time stamps ahead of the dump, and the contract's pandera checks. Does not belong
here: what happens to the rows (`dump`), and casts.

pandera's own report of failures holds the failing values, and loses the row of some table checks; its warnings quote
values too. So it only says which checks failed; those are run again for the rows, and checks that only warn run apart.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pandera.errors
import pandera.pandas
import pyarrow as pa
import pyarrow.compute as pc

from claims_pipeline.errors import ClaimsPipelineError
from claims_pipeline.feeds.contract import Feed
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
    """The rules of one feed for one dump."""

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
        self._latest = {c.name: stamp + c.facts.max_ahead for c in columns if c.facts.max_ahead is not None}
        self._schema = pandera.pandas.DataFrameSchema(
            {
                c.name: pandera.pandas.Column(
                    pd.ArrowDtype(c.arrow), checks=[k for k in c.checks if not k.raise_warning], nullable=True
                )
                for c in columns
            },
            checks=[k for k in feed.schema.checks if not k.raise_warning],
        )
        self._advice: list[tuple[str | None, pandera.pandas.Check]] = [
            *((c.name, check) for c in columns for check in c.checks if check.raise_warning),
            *((None, check) for check in feed.schema.checks if check.raise_warning),
        ]

    def judge(self, table: pa.Table) -> tuple[list[Broken], list[Broken]]:
        """Find the rows that break a rule, and those that break a rule that is only advice.

        Args:
            table: typed rows, one column per name in `read`.

        Raises:
            ClaimsPipelineError: a check of the contract could not be run; it names the rule.
        """
        broken = [Broken(f"{name}.required", name, _true(pc.is_null(table[name]))) for name in self._required]
        for name, latest in self._latest.items():
            late = pc.greater(table[name], pa.scalar(latest, table[name].type))
            broken.append(Broken(f"{name}.max_ahead", name, _true(late)))
        frame = table.to_pandas(types_mapper=pd.ArrowDtype)
        failures: list[pandera.errors.SchemaError] = []
        try:
            self._schema.validate(frame, lazy=True, inplace=True)
        except pandera.errors.SchemaErrors as errors:
            failures = errors.schema_errors
        for failure in failures:
            column = failure.schema.name if isinstance(failure.schema, pandera.pandas.Column) else None
            broken.append(self._broken(failure.check, column, frame))
        advice = [self._broken(check, column, frame) for column, check in self._advice]
        return [b for b in broken if b.rows.any()], [b for b in advice if b.rows.any()]

    def _broken(self, check: object, column: str | None, frame: pd.DataFrame) -> Broken:
        """The rows where a check says False. It says nothing about NULLs, by leaving them out or by NA."""
        name = check.name if isinstance(check, pandera.pandas.Check) else check
        rule = f"{column or 'row'}.{name}"
        output = _said(check, frame if column is None else frame[column])
        if output is None:
            raise ClaimsPipelineError(
                f"{self._feed}: the rule {rule} could not be run on rows; it raised, or gave no value per row"
            )
        mask = np.zeros(len(frame), np.bool_)
        mask[output.index[~output.fillna(value=True).to_numpy(dtype=np.bool_)]] = True
        return Broken(rule, column, mask)


def _said(check: object, data: pd.Series | pd.DataFrame) -> pd.Series | None:
    """What a check says of each row; None when it says nothing of the kind."""
    if not isinstance(check, pandera.pandas.Check):
        return None
    try:
        if isinstance(data, pd.DataFrame):
            # Not check(data): that goes on to collect failing values, and fails where some rows got False, others NA.
            return _per_row(check.get_backend(data)(check).apply(data))  # type: ignore[no-untyped-call]  # pandera's
        return _per_row(check(data).check_output)
    except Exception:  # a contract's own code; whatever it raised may quote values
        return None


def _per_row(output: object) -> pd.Series | None:
    return output if isinstance(output, pd.Series) else None


def _true(condition: pa.ChunkedArray) -> Mask:
    mask: Mask = pc.fill_null(condition, fill_value=False).to_numpy()
    return mask.astype(np.bool_, copy=False)
