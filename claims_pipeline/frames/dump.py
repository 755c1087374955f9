"""One dump from bytes to two Parquet files: rows fit to be loaded, and sealed rejects.

Belongs here: the order of the steps, the split of each batch, the two files, the counts. Does not belong here: how a
step is done (`source`, `header`, `cast`, `validate`, `treat`, `rowhash`, `keys`), and where the files go.

Nothing of a dropped or tokenised column is written unsealed, here or in a temporary file, and no value of any column
is in the counts, in a message or in a log line.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from claims_pipeline.errors import BadDump
from claims_pipeline.feeds.contract import Csv, Feed, Parquet, TextFormat
from claims_pipeline.feeds.sidecars import Promise
from claims_pipeline.frames.cast import ISO, cast_column
from claims_pipeline.frames.derive import derive
from claims_pipeline.frames.header import NOTHING, Layout, understand
from claims_pipeline.frames.keys import KeyRing, Keys, seal
from claims_pipeline.frames.masks import Mask
from claims_pipeline.frames.physical import canonical_text, delivered_texts, unwrapped
from claims_pipeline.frames.promises import Totals, compare
from claims_pipeline.frames.raw import RawBatch, Source
from claims_pipeline.frames.rowhash import HASH_BYTES, row_hashes
from claims_pipeline.frames.source import opened
from claims_pipeline.frames.stream import Compression
from claims_pipeline.frames.treat import flags, treat
from claims_pipeline.frames.validate import Broken, Rules

ROW_NUMBER = "_row_number"
ROW_HASH = "_row_hash"

REJECTS_SCHEMA = pa.schema(
    [
        ("row_number", pa.int64()),
        ("line", pa.int64()),
        ("columns", pa.list_(pa.string())),
        ("rules", pa.list_(pa.string())),
        ("key_version", pa.string()),
        ("sealed", pa.binary()),
        ("row_key", pa.list_(pa.string())),
    ]
)


@dataclass(frozen=True)
class Validation:
    """What became of the rows of one dump. Names and counts only.

    Attributes:
        read: data rows, ragged ones included; the sum of the next three.
        kept: rows written to the rows file.
        filtered: rows that the contract leaves out.
        quarantined: rows written, sealed, to the rejects file.
        rejects: quarantined rows by rule id; a row may break several.
        issues: values set to NULL ("<column>.cast_null"), or kept with a warning, in the rows kept; by rule id.
        drift: "added: x" and "missing: y" lines about columns.
        columns_seen: the header's names in order; what is fit to be shown of them.
        types: physical types by contract column, of formats that have them: to be compared with the previous dump's.
            "null" is the type of a column without a value.
        stages: seconds spent in parse, cast, validate, treat and write.
    """

    read: int
    kept: int
    filtered: int
    quarantined: int
    rejects: dict[str, int] = field(default_factory=dict)
    issues: dict[str, int] = field(default_factory=dict)
    drift: tuple[str, ...] = ()
    columns_seen: tuple[str, ...] = ()
    stages: dict[str, float] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)


def rows_schema(feed: Feed) -> pa.Schema:
    """The columns of the rows file: the feed's stored columns, `_row_number` int64 and `_row_hash` binary(16)."""
    stored = [(column.name, column.arrow) for column in feed.stored]
    return pa.schema([*stored, (ROW_NUMBER, pa.int64()), (ROW_HASH, pa.binary(HASH_BYTES))])


def validate_dump(
    source: BinaryIO,
    *,
    feed: Feed,
    compression: Compression | None,
    stamp: dt.datetime,
    delivery_day: dt.date,
    keys: Keys,
    rows_path: Path,
    rejects_path: Path,
    batch_bytes: int = 8 << 20,
    progress: Callable[[int], None] | None = None,
    promises: Sequence[Promise] = (),
) -> Validation:
    """Read a dump and write its rows as Parquet: those that keep the contract, treated; the others, sealed.

    Streams: memory is a small multiple of `batch_bytes`, or of the longest row (at most 64 MiB), and what a dump in
    Parquet or JSON Lines holds of `source` if that cannot seek (see `spool`).

    Args:
        source: the dump's bytes at their start; need not be seekable.
        feed: its contract.
        compression: of the whole file; None for none.
        stamp: the dump's own time stamp; aware. Bounds time stamps with `max_ahead`.
        delivery_day: partition; the day on which ages are taken.
        keys: rings for tokens and for the seal.
        rows_path: written as Parquet, see `rows_schema`. `_row_number` counts the data rows of the dump from 1.
        rejects_path: written as Parquet: row_number, line (of the file, from 1, on which the row begins; NULL where the
            format has no lines), columns and rules broken (distinct), key_version, and the whole row as delivered as
            JSON, sealed under "sender/dataset:row_number": {column: text or null}, or {"_line": text} for a ragged
            row. Bytes that are no UTF-8 are lone surrogates (Python's surrogateescape); values that are no text are in
            their canonical text (`physical`). Of two delivered columns with one name the second is "<name>#<place>".
        batch_bytes: bytes of data handled at once.
        progress: told the number of rows read so far, after each batch.
        promises: what the sender says of the dump beside it; a trailer row adds its own.

    Returns:
        The counts. An empty dump (no bytes, or no row) gives read=0 and two valid files without rows.

    Raises:
        BadDump: dump.unreadable, contract.missing_column, contract.refused_column, contract.duplicate_column,
            dump.row_count or dump.control_total. Both files are removed.
        ValueError: `stamp` is naive.
    """
    if stamp.tzinfo is None:
        raise ValueError("the dump's time stamp must be aware")
    with (
        _removed_on_error(rows_path, rejects_path),
        opened(source, written=feed.format, compression=compression, batch_bytes=batch_bytes) as rows,
        _Pass(feed, keys, stamp, delivery_day, rows_path, rejects_path) as work,
    ):
        return work.run(rows, promises, progress)


@contextlib.contextmanager
def _removed_on_error(*paths: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:  # also an interrupted run leaves no half of a file
        for path in paths:
            path.unlink(missing_ok=True)
        raise


class _Pass:
    """One pass over a dump: the two writers and the running counts."""

    def __init__(
        self,
        feed: Feed,
        keys: Keys,
        stamp: dt.datetime,
        delivery_day: dt.date,
        rows_path: Path,
        rejects_path: Path,
    ) -> None:
        self._feed = feed
        self._keys = keys
        self._stamp = stamp
        self._delivery_day = delivery_day
        self._schema = rows_schema(feed)
        self._written = feed.format if isinstance(feed.format, TextFormat) else ISO
        self._hashed = [i for i, column in enumerate(feed.stored) if column.hashed]
        self._rows = pa.parquet.ParquetWriter(rows_path, self._schema, compression="zstd")
        self._rejects = _RejectsWriter(rejects_path, feed.name, keys.quarantine)
        self._rejected: Counter[str] = Counter()
        self._issues: Counter[str] = Counter()
        self._counts: Counter[str] = Counter()
        self._clock = _Clock()

    def __enter__(self) -> _Pass:
        return self

    def __exit__(self, *_: object) -> None:
        self._rows.close()
        self._rejects.close()

    def run(self, source: Source, promises: Sequence[Promise], progress: Callable[[int], None] | None) -> Validation:
        layout, totals = NOTHING, Totals((), {}, self._written)
        if source.header:
            layout = understand(source.header, self._feed, may_repeat=isinstance(self._feed.format, Parquet))
            rules = Rules(self._feed, read={*layout.positions, *layout.absent}, absent=layout.absent, stamp=self._stamp)
            totals = self._totals(source, promises, layout)
            self._clock.lap("parse")
            for batch in source.batches():
                self._clock.lap("parse")
                totals.add(batch)
                self._take(batch, layout, rules)
                if progress is not None:
                    progress(self._counts["read"])
        told = [*promises, source.trailer] if source.trailer else promises
        compare(told, totals, feed=self._feed.name, read=self._counts["read"], ragged=self._counts["ragged"])
        return Validation(
            read=self._counts["read"],
            kept=self._counts["kept"],
            filtered=self._counts["filtered"],
            quarantined=self._counts["quarantined"],
            rejects=dict(sorted(self._rejected.items())),
            issues=dict(sorted(self._issues.items())),
            drift=layout.drift,
            columns_seen=layout.seen,
            stages=dict(self._clock.seconds),
            types={name: source.types[place] for name, place in layout.places.items()} if source.types else {},
        )

    def _totals(self, source: Source, promises: Sequence[Promise], layout: Layout) -> Totals:
        """Sums of the columns that have a control total; a name means the delivered column before the contract's."""
        wanted = {column for promise in promises for column in promise.totals}
        if isinstance(self._feed.format, Csv) and self._feed.format.trailer:
            wanted |= {column for column, _ in self._feed.format.trailer.totals}
        delivered = {name: place for place, name in reversed(list(enumerate(source.header)))}
        return Totals(wanted, {**layout.places, **delivered}, self._written)

    def _take(self, batch: RawBatch, layout: Layout, rules: Rules) -> None:
        """Split one batch into kept, filtered and quarantined rows, and write them."""
        rows = len(batch.numbers)
        _compare_copies(batch, layout, self._feed.name)
        typed, local, faults, nulled = self._cast(batch, layout)
        filtered = self._filtered(typed, rows)
        broken = [Broken(b.rule, b.column, b.rows & ~filtered) for b in faults]
        judged = ~_any(broken, rows) & ~filtered
        self._clock.lap("cast")

        advice: list[Broken] = []
        if judged.any():
            whole = bool(judged.all())
            failed, advice = rules.judge(typed if whole else typed.filter(pa.array(judged)))
            if not whole:
                places = np.flatnonzero(judged)
                failed, advice = _spread(failed, places, rows), _spread(advice, places, rows)
            broken += failed
        rejected = _any(broken, rows)
        kept = ~rejected & ~filtered
        self._clock.lap("validate")

        if kept.any():
            stays = pa.array(kept)
            self._write_rows(
                typed if kept.all() else typed.filter(stays),
                {name: times.filter(stays) for name, times in local.items()},
                batch.numbers[kept],
            )
        self._quarantine(batch, layout, broken, rejected, typed)
        self._clock.lap("write")

        for issue in (*nulled, *advice):
            if count := int((issue.rows & kept).sum()):
                self._issues[issue.rule] += count
        self._counts["read"] += rows + len(batch.ragged)
        self._counts["ragged"] += len(batch.ragged)
        self._counts["kept"] += int(kept.sum())
        self._counts["filtered"] += int(filtered.sum())
        self._counts["quarantined"] += int(rejected.sum()) + len(batch.ragged)

    def _cast(
        self, batch: RawBatch, layout: Layout
    ) -> tuple[pa.Table, dict[str, pa.Array], list[Broken], list[Broken]]:
        """Typed columns and local times; what could not be cast, and what of that may become NULL."""
        derived = self._derived(batch, layout)
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

    def _derived(self, batch: RawBatch, layout: Layout) -> dict[str, pa.Array]:
        """Columns that the dump lacks and its document holds."""
        document = self._feed.document
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

    def _write_rows(self, typed: pa.Table, local: dict[str, pa.Array], numbers: np.typing.NDArray[np.int64]) -> None:
        stored: list[pa.Array] = []
        for column in self._feed.columns:
            if not column.stored:
                continue
            values = typed[column.name].combine_chunks()
            stored += treat(
                values,
                column,
                sender=self._feed.sender.name,
                keys=self._keys.token,
                delivery_day=self._delivery_day,
            )
            if column.facts.local_copy:  # companions in the order of Column.stored
                stored.append(local.get(column.name, pa.nulls(len(values), pa.timestamp("us"))))
            if column.facts.flag is not None:
                stored.append(flags(values, column.facts.flag))
        hashes = row_hashes([stored[i] for i in self._hashed])
        self._clock.lap("treat")
        self._rows.write_table(pa.table([*stored, pa.array(numbers), hashes], schema=self._schema))

    def _row_keys(self, typed: pa.Table, places: np.typing.NDArray[np.intp]) -> list[list[str] | None]:
        """Keys of rows as the table stores them, in its order; None where a part cannot be read, or nobody asks."""
        if self._feed.snapshot is None:
            return [None] * len(places)
        parts: list[list[str | None]] = []
        for column in self._feed.columns:
            if any(stored.key for stored in column.stored):
                values = typed[column.name].combine_chunks().take(pa.array(places))
                treated = treat(
                    values,
                    column,
                    sender=self._feed.sender.name,
                    keys=self._keys.token,
                    delivery_day=self._delivery_day,
                )
                parts += [
                    pc.cast(array, pa.string()).to_pylist()
                    for array, stored in zip(treated, column.stored, strict=False)
                    if stored.key
                ]
        return [[str(v) for v in key] if None not in key else None for key in zip(*parts, strict=True)]

    def _quarantine(
        self, batch: RawBatch, layout: Layout, broken: list[Broken], rejected: Mask, typed: pa.Table
    ) -> None:
        for fault in broken:
            if count := int(fault.rows.sum()):
                self._rejected[fault.rule] += count
        for row in batch.ragged:
            self._rejected["row.ragged"] += 1
            self._rejects.add(row.number, batch.line_of(row.number), [], ["row.ragged"], {"_line": row.line})
        places = np.flatnonzero(rejected)
        if len(places):
            by_row: defaultdict[int, list[Broken]] = defaultdict(list)
            for fault in broken:
                for place in np.flatnonzero(fault.rows).tolist():
                    by_row[place].append(fault)
            names = _distinct(layout.delivered)
            cells = [delivered_texts(column.take(pa.array(places))) for column in batch.columns]
            row_keys = self._row_keys(typed, places)
            for place, values, row_key in zip(places.tolist(), zip(*cells, strict=True), row_keys, strict=True):
                number = int(batch.numbers[place])
                self._rejects.add(
                    number,
                    batch.line_of(number),
                    list(dict.fromkeys(b.column for b in by_row[place] if b.column)),
                    list(dict.fromkeys(b.rule for b in by_row[place])),
                    dict(zip(names, values, strict=True)),
                    row_key,
                )
        self._rejects.flush()


class _RejectsWriter:
    """The rejects file: rows are sealed as they come, and written a batch at a time."""

    def __init__(self, path: Path, feed: str, ring: KeyRing) -> None:
        self._writer = pa.parquet.ParquetWriter(path, REJECTS_SCHEMA, compression="zstd")
        self._feed = feed
        self._ring = ring
        self._pending: list[dict[str, object]] = []

    def add(
        self,
        number: int,
        line: int | None,
        columns: list[str],
        rules: list[str],
        row: dict[str, str | None],
        row_key: list[str] | None = None,
    ) -> None:
        version, sealed = seal(json.dumps(row).encode(), ring=self._ring, context=f"{self._feed}:{number}")
        self._pending.append(
            {
                "row_number": number,
                "line": line,
                "columns": columns,
                "rules": rules,
                "key_version": version,
                "sealed": sealed,
                "row_key": row_key,
            }
        )

    def flush(self) -> None:
        if self._pending:
            self._writer.write_table(pa.Table.from_pylist(self._pending, schema=REJECTS_SCHEMA))
            self._pending = []

    def close(self) -> None:
        self._writer.close()


class _Clock:
    """Wall time by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = dict.fromkeys(("parse", "cast", "validate", "treat", "write"), 0.0)
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[stage] += now - self._last
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
