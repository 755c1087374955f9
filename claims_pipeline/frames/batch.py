"""One batch of a dump: rows as delivered -> rows fit to be loaded, and sealed rejects. A function of the batch alone.

Belongs here: the order of the steps, and the split into kept, filtered and quarantined rows. Does not belong here: how
a step is done (`header`, `cast`, `validate`, `treat`, `rowhash`, `keys`), and what is written where (`dump`).

Batches are worked on by several threads at once: a `Work` changes nothing that it holds.
"""

from __future__ import annotations

import datetime as dt
import functools
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from claims_pipeline.errors import BadDump
from claims_pipeline.feeds.contract import Column, Feed, TextFormat
from claims_pipeline.frames.cast import ISO, cast_column
from claims_pipeline.frames.derive import derive
from claims_pipeline.frames.header import Layout
from claims_pipeline.frames.keys import Keys
from claims_pipeline.frames.masks import Mask
from claims_pipeline.frames.physical import canonical_text, delivered_texts, unwrapped
from claims_pipeline.frames.raw import RawBatch
from claims_pipeline.frames.rejects import Rejects
from claims_pipeline.frames.rowhash import HASH_BYTES, row_hashes
from claims_pipeline.frames.treat import flags, treat
from claims_pipeline.frames.validate import Broken, Rules
from claims_pipeline.frames.withheld import Recogniser, Values, Withheld

ROW_NUMBER = "_row_number"
ROW_HASH = "_row_hash"


def rows_schema(feed: Feed) -> pa.Schema:
    """The columns of the rows file: the feed's stored columns, `_row_number` int64 and `_row_hash` binary(16)."""
    stored = [(column.name, column.arrow) for column in feed.stored]
    return pa.schema([*stored, (ROW_NUMBER, pa.int64()), (ROW_HASH, pa.binary(HASH_BYTES))])


@dataclass
class Judged:
    """What became of the rows of a batch.

    Attributes:
        rows: fit to be loaded, see `rows_schema`; None when there are none.
        rejects: sealed, see `REJECTS_SCHEMA`; None when there are none.
        counts: of rows read, ragged, kept, filtered and quarantined.
        rejected: quarantined rows by rule id; a row may break several.
        issues: values set to NULL or kept with a warning, in the rows kept, by rule id.
        seconds: of this thread, in cast, validate and treat.
        erased: row numbers of those left out since their person was erased.
        erased_keys: keys of these that the register lacks.
        erased_tokens: tokens under the current key that it lacks, each with the registered one.
    """

    rows: pa.RecordBatch | None = None
    rejects: pa.RecordBatch | None = None
    counts: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    issues: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=dict)
    erased: list[int] = field(default_factory=list)
    erased_keys: frozenset[Values] = frozenset()
    erased_tokens: Mapping[str, str] = field(default_factory=dict)


class Work:
    """The work on each batch of one dump."""

    def __init__(
        self,
        feed: Feed,
        keys: Keys,
        *,
        stamp: dt.datetime,
        delivery_day: dt.date,
        layout: Layout,
        withheld: Withheld,
    ) -> None:
        """Prepare the contract's rules for what the dump holds.

        Args:
            feed: the contract.
            keys: rings for tokens and for the seal.
            stamp: the dump's own time stamp; aware.
            delivery_day: the day on which ages are taken.
            layout: which delivered column is which of the contract's.
            withheld: the register of erased persons.
        """
        self._feed = feed
        self._keys = keys
        self._delivery_day = delivery_day
        self._layout = layout
        self._rules = Rules(feed, read={*layout.positions, *layout.absent}, absent=layout.absent, stamp=stamp)
        self._schema = rows_schema(feed)
        self._written = feed.format if isinstance(feed.format, TextFormat) else ISO
        self._recogniser = Recogniser(feed, keys.token, withheld) if withheld and feed.subject else None
        self._hashed = [i for i, column in enumerate(feed.stored) if column.hashed]

    def judged(self, batch: RawBatch) -> Judged:
        """Split a batch into kept, filtered and quarantined rows.

        Raises:
            BadDump: contract.duplicate_column.
        """
        done = Judged()
        lap = _Laps(done.seconds)
        rows = len(batch.numbers)
        _compare_copies(batch, self._layout, self._feed.name)
        typed, local, faults, nulled = self._cast(batch)
        filtered = self._filtered(typed, rows)
        if self._recogniser:
            filtered |= self._erased(self._recogniser, typed, batch, done)
        broken = [Broken(b.rule, b.column, b.rows & ~filtered) for b in faults]
        judged = ~_any(broken, rows) & ~filtered
        lap("cast")

        advice: list[Broken] = []
        if judged.any():
            whole = bool(judged.all())
            failed, advice = self._rules.judge(typed if whole else typed.filter(pa.array(judged)))
            if not whole:
                places = np.flatnonzero(judged)
                failed, advice = _spread(failed, places, rows), _spread(advice, places, rows)
            broken += failed
        rejected = _any(broken, rows)
        kept = ~rejected & ~filtered
        lap("validate")

        if kept.any():
            if not kept.all():
                stays = pa.array(kept)
                typed_kept = typed.filter(stays)
                local = {name: times.filter(stays) for name, times in local.items()}
            else:
                typed_kept = typed
            done.rows = self._stored(typed_kept, local, batch.numbers[kept])
        if rejected.any() or batch.ragged:
            done.rejects = self._sealed(batch, broken, rejected, typed)
        lap("treat")

        for fault in broken:
            done.rejected[fault.rule] += int(fault.rows.sum())
        done.rejected["row.ragged"] += len(batch.ragged)
        for issue in (*nulled, *advice):
            done.issues[issue.rule] += int((issue.rows & kept).sum())
        done.counts.update(
            read=rows + len(batch.ragged),
            ragged=len(batch.ragged),
            kept=int(kept.sum()),
            filtered=int(filtered.sum()),
            quarantined=int(rejected.sum()) + len(batch.ragged),
        )
        return done

    def _cast(self, batch: RawBatch) -> tuple[pa.Table, dict[str, pa.Array], list[Broken], list[Broken]]:
        """Typed columns and local times; what could not be cast, and what of that may become NULL."""
        layout = self._layout
        derived = self._derived(batch)
        typed: dict[str, pa.Array] = {}
        local: dict[str, pa.Array] = {}
        faults: list[Broken] = []
        nulled: list[Broken] = []
        for column in self._feed.columns:
            if column.name in layout.positions:
                values = batch.columns[layout.positions[column.name]]
            elif column.name in derived:
                values = derived[column.name]
            else:
                if column.name in layout.absent:
                    typed[column.name] = pa.nulls(len(batch.numbers), column.arrow)
                continue
            cast = cast_column(values, column, timezone=self._feed.sender.timezone, written=self._written)
            typed[column.name] = cast.values
            if cast.local is not None:
                local[column.name] = cast.local
            for kind, rows in cast.faults:
                if column.facts.invalid == "null":
                    nulled.append(Broken(f"{column.name}.cast_null", column.name, rows))
                else:
                    faults.append(Broken(f"{column.name}.{kind}", column.name, rows))
        return pa.table(typed), local, faults, nulled

    def _derived(self, batch: RawBatch) -> dict[str, pa.Array]:
        """Columns that the dump lacks and its document holds."""
        document, layout = self._feed.document, self._layout
        if document is None or document.column not in layout.places:
            return {}
        lacking = [name for name in layout.absent if name in document.holds]
        if not lacking:
            return {}
        text, _ = canonical_text(unwrapped(batch.columns[layout.places[document.column]]))
        return derive(text, document, lacking)

    def _filtered(self, typed: pa.Table, rows: int) -> Mask:
        """Rows with a value that the contract leaves out, compared in its canonical text; NULL is not left out."""
        filtered = np.zeros(rows, np.bool_)
        for column in self._feed.columns:
            if column.facts.only and column.name in typed.column_names:
                text = pc.cast(typed[column.name], pa.string())
                stays = pc.is_in(text, value_set=pa.array(column.facts.only))
                filtered |= pc.and_(pc.invert(stays), pc.is_valid(text)).to_numpy()
        return filtered

    def _erased(self, recogniser: Recogniser, typed: pa.Table, batch: RawBatch, done: Judged) -> Mask:
        """Rows of erased persons; notes what of them the register does not know yet."""
        found = recogniser.in_typed(typed)
        done.erased = batch.numbers[found.rows].tolist()
        done.erased_keys, done.erased_tokens = found.keys, found.tokens
        return found.rows

    def _stored(
        self, typed: pa.Table, local: dict[str, pa.Array], numbers: np.typing.NDArray[np.int64]
    ) -> pa.RecordBatch:
        """The stored columns, row numbers and row hashes."""
        stored: list[pa.Array] = []
        for column in self._feed.columns:
            if not column.stored:
                continue
            values = typed[column.name].combine_chunks()
            stored += self._treated(values, column)
            if column.facts.local_copy:  # companions in the order of Column.stored
                stored.append(local.get(column.name, pa.nulls(len(values), pa.timestamp("us"))))
            if column.facts.flag is not None:
                stored.append(flags(values, column.facts.flag))
        hashes = row_hashes([stored[i] for i in self._hashed])
        return pa.record_batch([*stored, pa.array(numbers), hashes], schema=self._schema)

    def _treated(self, values: pa.Array, column: Column) -> list[pa.Array]:
        return treat(
            values, column, sender=self._feed.sender.name, keys=self._keys.token, delivery_day=self._delivery_day
        )

    def _row_keys(self, typed: pa.Table, places: np.typing.NDArray[np.intp]) -> list[list[str] | None]:
        """Keys of rows as the table stores them, in its order; None where a part cannot be read, or nobody asks."""
        if self._feed.snapshot is None:
            return [None] * len(places)
        parts: list[list[str | None]] = []
        for column in self._feed.columns:
            if any(stored.key for stored in column.stored):
                values = typed[column.name].combine_chunks().take(pa.array(places))
                treated = self._treated(values, column)
                parts += [
                    pc.cast(array, pa.string()).to_pylist()
                    for array, stored in zip(treated, column.stored, strict=False)
                    if stored.key
                ]
        return [[str(v) for v in key] if None not in key else None for key in zip(*parts, strict=True)]

    def _sealed(self, batch: RawBatch, broken: list[Broken], rejected: Mask, typed: pa.Table) -> pa.RecordBatch:
        rejects = Rejects(self._feed.name, self._keys.quarantine)
        for row in batch.ragged:
            rejects.add(row.number, batch.line_of(row.number), [], ["row.ragged"], {"_line": row.line})
        places = np.flatnonzero(rejected)
        if len(places):
            by_row: defaultdict[int, list[Broken]] = defaultdict(list)
            for fault in broken:
                for place in np.flatnonzero(fault.rows).tolist():
                    by_row[place].append(fault)
            names = _distinct(self._layout.delivered)
            cells = [delivered_texts(column.take(pa.array(places))) for column in batch.columns]
            row_keys = self._row_keys(typed, places)
            for place, values, row_key in zip(places.tolist(), zip(*cells, strict=True), row_keys, strict=True):
                number = int(batch.numbers[place])
                rejects.add(
                    number,
                    batch.line_of(number),
                    list(dict.fromkeys(b.column for b in by_row[place] if b.column)),
                    list(dict.fromkeys(b.rule for b in by_row[place])),
                    dict(zip(names, values, strict=True)),
                    row_key,
                )
        return rejects.batch()


class _Laps:
    """Wall time by stage, of one thread."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self._seconds = seconds
        self._last = time.perf_counter()

    def __call__(self, stage: str) -> None:
        now = time.perf_counter()
        self._seconds[stage] = self._seconds.get(stage, 0.0) + now - self._last
        self._last = now


def _compare_copies(batch: RawBatch, layout: Layout, feed: str) -> None:
    """Of a column that was delivered more than once the first is read, and the others must say the same.

    Raises:
        BadDump: contract.duplicate_column.
    """
    for name, places in layout.copies.items():
        first = batch.columns[layout.positions[name]]
        for place in places:
            copy = batch.columns[place]
            if not copy.equals(first) and delivered_texts(copy) != delivered_texts(first):
                raise BadDump(
                    "contract.duplicate_column", f"{feed}: {name} is delivered more than once, with different content"
                )


def _any(broken: list[Broken], rows: int) -> Mask:
    return functools.reduce(np.logical_or, (b.rows for b in broken), np.zeros(rows, np.bool_))


def _spread(broken: list[Broken], places: np.typing.NDArray[np.intp], rows: int) -> list[Broken]:
    """Masks over a part of the rows as masks over all of them."""
    spread = []
    for b in broken:
        mask = np.zeros(rows, np.bool_)
        mask[places[b.rows]] = True
        spread.append(Broken(b.rule, b.column, mask))
    return spread


def _distinct(names: tuple[str, ...]) -> list[str]:
    return [f"{name}#{i}" if name in names[: i - 1] else name for i, name in enumerate(names, 1)]
