"""Writes the dumps of a plan: rows rendered in a dialect, spoilt where planned, streamed to a sink, accounted for.

Belongs here: the order of work, and the bytes. Does not belong here: what rows hold (`submissions`, `contentions`,
`children`), where bytes go (`sinks`).

The same plan gives the same bytes; more days begin with the same bytes as fewer. Memory holds one chunk of rows.
"""

from __future__ import annotations

import datetime as dt
import gzip
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow

from claims_pipeline.local.fake_sender import fields
from claims_pipeline.local.fake_sender.children import JobStatuses, Remediations, Uploads
from claims_pipeline.local.fake_sender.contentions import Contentions
from claims_pipeline.local.fake_sender.dataset import CLEAN, Dataset, Rows
from claims_pipeline.local.fake_sender.defects import RAGGED, PlantedVerdict
from claims_pipeline.local.fake_sender.dialect import Dialect, drawn
from claims_pipeline.local.fake_sender.dice import Ints, Mask
from claims_pipeline.local.fake_sender.life import Life, Plan
from claims_pipeline.local.fake_sender.manifest import MOST_LISTED, DumpManifest, Manifest, Planted
from claims_pipeline.local.fake_sender.sinks import Delivered, Sink
from claims_pipeline.local.fake_sender.submissions import Submissions

DATASETS: tuple[type[Dataset], ...] = (Submissions, Contentions, JobStatuses, Uploads, Remediations)

_GZIP_LEVEL = 1  # speed before size: what is invented is soon deleted


@dataclass(frozen=True)
class Progress:
    """How far a dump has come: its key, and the rows and bytes written so far."""

    key: str
    rows: int
    bytes: int


def generate(
    plan: Plan,
    open_sink: Sink,
    *,
    datasets: Collection[str] | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Manifest:
    """Write every dump of a plan.

    Args:
        plan: what to generate.
        open_sink: opens the object of a key for writing (`folder_sink`, `s3_sink`).
        datasets: names of the datasets to write; None for all five.
        progress: told after each chunk of rows.

    Returns:
        What was written, and what the pipeline is expected to make of it.

    Raises:
        ValueError: a dataset that the fake sender does not know.
    """
    known = {kind.feed.dataset: kind for kind in DATASETS}
    wanted = set(known if datasets is None else datasets)
    if unknown := wanted - set(known):
        raise ValueError(f"no such dataset: {', '.join(sorted(unknown))}; known: {', '.join(known)}")
    life = Life(plan)
    chosen = [(number, kind(life)) for number, kind in enumerate(DATASETS) if kind.feed.dataset in wanted]
    dumps = []
    for day in range(plan.days):
        for number, dataset in chosen:
            dialect = plan.dialect or drawn(life.dice, day * len(DATASETS) + number)
            dumps.append(_write(dataset, day, dialect, open_sink, progress or (lambda _: None)))
    live = {d.feed.dataset: sum(m.gained for m in dumps if m.dataset == d.feed.dataset) for _, d in chosen}
    return Manifest(plan, tuple(dumps), live)


def dump_key(dataset: Dataset, stamp: dt.datetime, dialect: Dialect) -> str:
    """The canonical key of a dump (feeds.md 2.1)."""
    name = dataset.feed.dataset
    ending = ".csv.gz" if dialect.gzip else ".csv"
    return f"{dataset.feed.sender.prefix}{name}/dt={stamp:%Y-%m-%d}/{name}_{stamp:%Y%m%dT%H%M%SZ}{ending}"


def _write(
    dataset: Dataset, day: int, dialect: Dialect, open_sink: Sink, progress: Callable[[Progress], None]
) -> DumpManifest:
    moment = dataset.life.stamp(day)
    stamp = dt.datetime.fromtimestamp(moment // fields.SECOND, tz=dt.UTC)
    key = dump_key(dataset, stamp, dialect)
    account = _Account(dataset)
    with open_sink(key) as sink:
        delivered = Delivered(sink)
        with _compressed(delivered, dialect) as out:
            out.write(dialect.header([column.name for column in dataset.feed.columns]))
            for n, k in dataset.life.deliveries(day):
                rows = dataset.rows(n, k)
                rule = dataset.planted(rows)
                account.gained += dataset.gained(n, k, rows, rule)
                rows, rule, older = _with_duplicates(dataset, rows, rule)
                if len(rows):
                    out.write(_bytes_of(_lines(dataset, rows, rule, older, dialect, moment)))
                account.add(rule)
                progress(Progress(key, account.rows, delivered.size))
    return DumpManifest(
        key=key,
        dataset=dataset.feed.dataset,
        delivery_day=stamp.date(),
        stamp=stamp,
        rows=account.rows,
        loaded=account.loaded,
        gained=account.gained,
        sha256=delivered.sha256.hexdigest(),
        bytes=delivered.size,
        dialect=dialect,
        counts=account.counts(),
        planted=tuple(account.planted),
    )


def _with_duplicates(dataset: Dataset, rows: Rows, rule: Ints) -> tuple[Rows, Ints, Mask]:
    """The rows with an older one for each planted duplicate: mostly before the newer, without a version always."""
    twin = rule == dataset.duplicate
    index = np.repeat(np.arange(len(rows)), 1 + twin)
    second = (np.cumsum(1 + twin) - 1)[twin]
    swap = dataset.dice.chance("older last", rows.number[twin], 0.3) & (dataset.feed.version is not None)
    older = np.zeros(len(index), dtype=np.bool_)
    older[np.where(swap, second, second - 1)] = True
    doubled = rule[index]
    doubled[doubled == dataset.duplicate] = CLEAN
    doubled[older] = dataset.duplicate
    return rows.take(index), doubled, older


def _lines(dataset: Dataset, rows: Rows, rule: Ints, older: Mask, dialect: Dialect, stamp: int) -> pyarrow.Array:
    """The lines of some rows, defects planted, as an Arrow column of bytes."""
    typed = dataset.columns(rows, rule, older)
    names = [column.name for column in dataset.feed.columns]
    columns = {name: dialect.render(typed[name]) for name in names}
    spoilt = np.flatnonzero(rule != CLEAN)
    patches: dict[str, dict[int, bytes | None]] = defaultdict(dict)
    for row in spoilt.tolist():
        defect = dataset.defects[rule[row]]
        if defect.column is not None and (texts := defect.written(dialect, stamp)):
            patches[defect.column][row] = texts[int(rows.n[row]) % len(texts)]
    for name, patch in patches.items():
        columns[name] = fields.patched(columns[name], fields.as_ints(list(patch)), list(patch.values()))
    lines = dialect.lines(list(columns.values()))
    ragged = spoilt[rule[spoilt] == dataset.defects.index(RAGGED)]
    if not len(ragged):
        return lines
    cells = [column.take(pyarrow.array(ragged)) for column in columns.values()]
    fewer, more = dialect.lines(cells[:-1]).to_pylist(), dialect.lines([*cells, cells[-1]]).to_pylist()
    uneven = [more[i] if rows.n[row] % 2 else fewer[i] for i, row in enumerate(ragged)]
    return fields.patched(lines, ragged, uneven)


def _bytes_of(lines: pyarrow.Array) -> memoryview:
    """The lines one after another: an Arrow column of bytes holds them so already."""
    _, offsets, data = lines.buffers()
    ends = np.frombuffer(offsets, dtype=np.int32)[lines.offset : lines.offset + len(lines) + 1]
    return memoryview(data)[int(ends[0]) : int(ends[-1])]


class _Account:
    """What a dump holds, counted while it is written."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._by_rule = np.zeros(len(dataset.defects), dtype=np.int64)
        self.rows = 0
        self.loaded = 0
        self.gained = 0
        self.planted: list[Planted] = []

    def add(self, rule: Ints) -> None:
        spoilt = np.flatnonzero(rule != CLEAN)
        for row in spoilt[: MOST_LISTED - len(self.planted)].tolist():
            defect = self._dataset.defects[rule[row]]
            self.planted.append(Planted(defect.rule, self.rows + row + 1, defect.column, defect.verdict))
        self._by_rule += np.bincount(rule[spoilt], minlength=len(self._by_rule))
        self.loaded += int((self._dataset.loaded(rule) & (rule != self._dataset.duplicate)).sum())
        self.rows += len(rule)

    def counts(self) -> dict[PlantedVerdict, dict[str, int]]:
        found: dict[PlantedVerdict, dict[str, int]] = {verdict: {} for verdict in PlantedVerdict}
        for defect, count in zip(self._dataset.defects, self._by_rule.tolist(), strict=True):
            if count:
                found[defect.verdict][defect.rule] = count
        return found


class _Writer(Protocol):
    def write(self, data: bytes | memoryview, /) -> int: ...


@contextmanager
def _compressed(out: Delivered, dialect: Dialect) -> Iterator[_Writer]:
    if not dialect.gzip:
        yield out
        return
    # No name and no time in the header: the same plan gives the same bytes.
    with gzip.GzipFile(filename="", mode="wb", compresslevel=_GZIP_LEVEL, fileobj=out, mtime=0) as packed:
        yield packed
