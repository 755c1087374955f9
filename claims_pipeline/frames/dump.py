"""One dump from bytes to two Parquet files: rows fit to be loaded, and sealed rejects.

Belongs here: the stages and how they overlap, the two files, the counts. Does not belong here: what becomes of a batch
(`batch`), the formats (`source`), and where the files go.

Reading and parsing run ahead in one thread, batches are worked on in several, and what comes of them is written in
their order. Nothing of a dropped or tokenised column is written unsealed, here or in a temporary file, and no value of
any column is in the counts, in a message or in a log line.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet

from claims_pipeline.feeds.contract import Csv, Feed, Parquet, TextFormat
from claims_pipeline.feeds.sidecars import Promise
from claims_pipeline.frames.batch import ROW_NUMBER, Judged, Work, rows_schema
from claims_pipeline.frames.cast import ISO
from claims_pipeline.frames.header import NOTHING, Layout, understand
from claims_pipeline.frames.keys import Keys
from claims_pipeline.frames.promises import Totals, compare
from claims_pipeline.frames.raw import RawBatch, Source
from claims_pipeline.frames.rejects import REJECTS_SCHEMA
from claims_pipeline.frames.source import opened
from claims_pipeline.frames.stream import Compression
from claims_pipeline.frames.withheld import Values, Withheld
from claims_pipeline.overlap import mapped

STAGES = ("parse", "cast", "validate", "treat", "write")


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
        stages: seconds that threads spent in parse, cast, validate, treat and write; they overlap.
        elapsed: seconds from begin to end.
        erased: numbers of the rows left out since their person was erased; they count as filtered.
        erased_keys: keys of these that the register lacks.
        erased_tokens: tokens under the current key that it lacks, each with the registered one.
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
    elapsed: float = 0.0
    types: dict[str, str] = field(default_factory=dict)
    erased: tuple[int, ...] = ()
    erased_keys: frozenset[Values] = frozenset()
    erased_tokens: dict[str, str] = field(default_factory=dict)


def validate_dump(
    source: BinaryIO,
    *,
    feed: Feed,
    compression: Compression | None,
    stamp: dt.datetime,
    delivery_day: dt.date,
    keys: Keys,
    rows_file: Path | BinaryIO,
    rejects_file: Path | BinaryIO,
    batch_bytes: int = 4 << 20,
    threads: int = 2,
    progress: Callable[[int], None] | None = None,
    promises: Sequence[Promise] = (),
    withheld: Withheld | None = None,
) -> Validation:
    """Read a dump and write its rows as Parquet: those that keep the contract, treated; the others, sealed.

    Streams: memory is a small multiple of `batch_bytes` and `threads`, or of the longest row (at most 64 MiB), and what
    a dump in Parquet or JSON Lines holds of `source` if that cannot seek (see `spool`).

    Args:
        source: the dump's bytes at their start; need not be seekable.
        feed: its contract.
        compression: of the whole file; None for none.
        stamp: the dump's own time stamp; aware. Bounds time stamps with `max_ahead`.
        delivery_day: partition; the day on which ages are taken.
        keys: rings for tokens and for the seal.
        rows_file: written as Parquet, in order, a row group a batch; see `rows_schema`. `_row_number` counts the data
            rows of the dump from 1.
        rejects_file: written as Parquet: row_number, line (of the file, from 1, on which the row begins; NULL where the
            format has no lines), columns and rules broken (distinct), key_version, and the whole row as delivered as
            JSON, sealed under "sender/dataset:row_number": {column: text or null}, or {"_line": text} for a ragged
            row. Bytes that are no UTF-8 are lone surrogates (Python's surrogateescape); values that are no text are in
            their canonical text (`physical`). Of two delivered columns with one name the second is "<name>#<place>".
        batch_bytes: bytes of data in a batch.
        threads: how many batches are worked on at once.
        progress: told the number of rows read so far, after each batch.
        promises: what the sender says of the dump beside it; a trailer row adds its own.
        withheld: the register of erased persons, whose rows are left out; None for nobody.

    Returns:
        The counts. An empty dump (no bytes, or no row) gives read=0 and two valid files without rows.

    Raises:
        BadDump: dump.unreadable, contract.missing_column, contract.refused_column, contract.duplicate_column,
            dump.row_count or dump.control_total. Files given by path are removed.
        SettingsError: the register names persons by tokens of keys only that the ring lacks.
        ValueError: `stamp` is naive.
    """
    if stamp.tzinfo is None:
        raise ValueError("the dump's time stamp must be aware")
    begun = time.perf_counter()
    with (
        _removed_on_error(rows_file, rejects_file),
        opened(source, written=feed.format, compression=compression, batch_bytes=batch_bytes) as rows,
        parquet_writer(rows_file, rows_schema(feed)) as rows_writer,
        parquet_writer(rejects_file, REJECTS_SCHEMA) as rejects_writer,
    ):
        counted = _Counted()
        layout, totals = NOTHING, Totals((), {}, ISO)
        if rows.header:
            layout = understand(rows.header, feed, may_repeat=isinstance(feed.format, Parquet))
            totals = _totals(feed, rows, promises, layout)
            work = Work(
                feed, keys, stamp=stamp, delivery_day=delivery_day, layout=layout, withheld=withheld or Withheld()
            )
            counted.seconds["parse"] += time.perf_counter() - begun
            with mapped(work.judged, counted.parsed(rows, totals), threads=threads) as results:
                for judged in results:
                    counted.written(judged, rows_writer, rejects_writer)
                    if progress is not None:
                        progress(counted.rows["read"])
        told = [*promises, rows.trailer] if rows.trailer else promises
        compare(told, totals, feed=feed.name, read=counted.rows["read"], ragged=counted.rows["ragged"])
        types = {name: rows.types[place] for name, place in layout.places.items()} if rows.types else {}
    return counted.validation(layout, types, elapsed=time.perf_counter() - begun)


def _totals(feed: Feed, source: Source, promises: Sequence[Promise], layout: Layout) -> Totals:
    """Sums of the columns that have a control total; a name means the delivered column before the contract's."""
    wanted = {column for promise in promises for column in promise.totals}
    if isinstance(feed.format, Csv) and feed.format.trailer:
        wanted |= {column for column, _ in feed.format.trailer.totals}
    delivered = {name: place for place, name in reversed(list(enumerate(source.header)))}
    written = feed.format if isinstance(feed.format, TextFormat) else ISO
    return Totals(wanted, {**layout.places, **delivered}, written)


class _Counted:
    """Running counts and times of one dump."""

    def __init__(self) -> None:
        self.rows: Counter[str] = Counter()
        self.rejected: Counter[str] = Counter()
        self.issues: Counter[str] = Counter()
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self.erased: list[int] = []
        self.erased_keys: set[Values] = set()
        self.erased_tokens: dict[str, str] = {}

    def parsed(self, source: Source, totals: Totals) -> Iterator[RawBatch]:
        """The batches, in the thread that reads: only it counts the time of parsing."""
        begun = time.perf_counter()
        for batch in source.batches():
            totals.add(batch)
            self.seconds["parse"] += time.perf_counter() - begun
            yield batch
            begun = time.perf_counter()

    def written(self, judged: Judged, rows: pa.parquet.ParquetWriter, rejects: pa.parquet.ParquetWriter) -> None:
        """Write and count what became of a batch."""
        begun = time.perf_counter()
        if judged.rows is not None:
            rows.write_batch(judged.rows, row_group_size=judged.rows.num_rows)
        if judged.rejects is not None:
            rejects.write_batch(judged.rejects)
        self.rows.update(judged.counts)
        self.rejected.update(judged.rejected)
        self.issues.update(judged.issues)
        self.erased += judged.erased
        self.erased_keys |= judged.erased_keys
        self.erased_tokens |= judged.erased_tokens
        for stage, seconds in judged.seconds.items():
            self.seconds[stage] += seconds
        self.seconds["write"] += time.perf_counter() - begun

    def validation(self, layout: Layout, types: dict[str, str], *, elapsed: float) -> Validation:
        """What became of the dump."""
        return Validation(
            read=self.rows["read"],
            kept=self.rows["kept"],
            filtered=self.rows["filtered"],
            quarantined=self.rows["quarantined"],
            rejects={rule: count for rule, count in sorted(self.rejected.items()) if count},
            issues={rule: count for rule, count in sorted(self.issues.items()) if count},
            drift=layout.drift,
            columns_seen=layout.seen,
            stages={stage: round(seconds, 4) for stage, seconds in self.seconds.items()},
            elapsed=round(elapsed, 4),
            types=types,
            erased=tuple(self.erased),
            erased_keys=frozenset(self.erased_keys),
            erased_tokens=self.erased_tokens,
        )


@contextlib.contextmanager
def _removed_on_error(*files: Path | BinaryIO) -> Iterator[None]:
    try:
        yield
    except BaseException:  # also an interrupted run leaves no half of a file
        for file in files:
            if isinstance(file, Path):
                file.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def parquet_writer(file: Path | BinaryIO, schema: pa.Schema) -> Iterator[pa.parquet.ParquetWriter]:
    """Writes Parquet, without dictionaries: zstd alone takes three quarters of the time, and less room.

    Only row numbers have statistics, by which row groups are passed over: those of other columns would be values.
    """
    numbers = [name for name in schema.names if name == ROW_NUMBER]
    writer = pa.parquet.ParquetWriter(
        file, schema, compression="zstd", use_dictionary=False, write_statistics=numbers or False
    )
    with writer:
        yield writer
