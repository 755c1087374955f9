"""Writes the dumps of any sender, made from its contracts and its world, with what is expected of them.

Belongs here: the order of work. Does not belong here: values (`invented`, `indici`), defects (`rules`), the bytes
(`spelling`, `parquet`), times (`schedule`); the VA, whose claims have a plot of their own (`engine`).

The same plan gives the same bytes. Memory holds one chunk of rows, and a bit per row of the plan.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.compute as pc

from claims_pipeline.feeds import Feed, feeds_of
from claims_pipeline.feeds.contract import Csv, Drop, FixedWidth, JsonLines, Parquet
from claims_pipeline.local.fake_sender import fields
from claims_pipeline.local.fake_sender.checks import broken_by, contract_type
from claims_pipeline.local.fake_sender.defects import DUPLICATE, NOT_LOADED, RAGGED, Defect, PlantedVerdict
from claims_pipeline.local.fake_sender.dialect import Dialect
from claims_pipeline.local.fake_sender.dice import Dice, Ints, Mask
from claims_pipeline.local.fake_sender.engine import Progress
from claims_pipeline.local.fake_sender.indici import Indici
from claims_pipeline.local.fake_sender.invented import Inventor
from claims_pipeline.local.fake_sender.lives import Lives, Rows
from claims_pipeline.local.fake_sender.manifest import MOST_LISTED, DumpManifest, Manifest, Planted
from claims_pipeline.local.fake_sender.parquet import ParquetWriter
from claims_pipeline.local.fake_sender.rules import catalogue_of
from claims_pipeline.local.fake_sender.schedule import Schedule, SenderPlan, Shipment, Trouble
from claims_pipeline.local.fake_sender.sinks import Delivered, Sink
from claims_pipeline.local.fake_sender.spelling import Batch, CsvWriter, Header, JsonLinesWriter, Writer
from claims_pipeline.local.fake_sender.worlds import World
from claims_pipeline.vocabulary import DumpVerdict

WORLDS: Mapping[str, type[World]] = {"indici": Indici}

_CLEAN = -1
_CHUNK = 1 << 16  # rows made at once
_ATTEMPTS = 50  # draws of a row until it keeps the rules on whole rows


def generate_sender(
    plan: SenderPlan,
    open_sink: Sink,
    *,
    feeds: Sequence[Feed] | None = None,
    datasets: Collection[str] | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Manifest:
    """Write every dump of a plan, in the order of arrival.

    Args:
        plan: what to generate.
        open_sink: opens the object of a key for writing (`folder_sink`, `s3_sink`).
        feeds: the sender's contracts; None for those that are registered.
        datasets: names of the datasets to write; None for all. The others still exist for what refers to them.
        progress: told after each chunk of rows.

    Returns:
        What was written, and what the pipeline is expected to make of it.

    Raises:
        ValueError: an unknown sender or dataset; a contract for which no rows can be invented (rows replaced as sets,
            rules that no proposed value keeps); names in which the times of the plan cannot be told apart.
    """
    known = list(feeds_of(plan.sender) if feeds is None else feeds)
    if not known or any(feed.sender.name != plan.sender for feed in known):
        raise ValueError(f"no feeds of a sender {plan.sender}")
    names = [feed.dataset for feed in known]
    if unknown := set(datasets or ()) - set(names):
        raise ValueError(f"no such dataset: {', '.join(sorted(unknown))}; known: {', '.join(names)}")
    world = WORLDS.get(plan.sender, World)(plan)
    schedule = Schedule(plan, known[0].sender, first_dump=world.first_dump(known))
    made = _datasets(plan, known, world, schedule)
    chosen = [name for name in names if datasets is None or name in datasets]
    dumps: list[DumpManifest] = []
    keys: dict[tuple[str, int], str] = {}
    written: set[str] = set()
    for shipment in schedule.shipments(chosen):
        dataset = made[shipment.dataset]
        key = world.key(dataset.feed, shipment)
        repeats = keys.get((shipment.dataset, shipment.number))
        if key in written:
            if repeats == key:
                continue  # a name that tells the day only cannot say that it is another
            raise ValueError(f"{dataset.feed.name}: two dumps of the plan would have one name: fewer files a day help")
        written.add(key)
        keys.setdefault((shipment.dataset, shipment.number), key)
        with open_sink(key) as sink:
            dumps.append(dataset.dump(shipment, key, Delivered(sink), repeats, progress or (lambda _: None)))
    return Manifest(plan, tuple(dumps), {name: made[name].live() for name in chosen})


def _datasets(plan: SenderPlan, feeds: list[Feed], world: World, schedule: Schedule) -> dict[str, _Dataset]:
    """The datasets; a column with the name of another dataset's whole key refers to it."""
    lives = {
        feed.dataset: Lives(feed.dataset, world.volume(feed), schedule, snapshot=feed.snapshot is not None)
        for feed in feeds
    }
    inventors: dict[str, Inventor] = {}
    dice = Dice(plan.seed)
    for feed in feeds:
        if feed.replaced_set is not None:
            raise ValueError(f"{feed.name}: rows that are replaced as sets need a world of their own")
        parents = {}
        for other in inventors.values():
            keys = [column.name for column in other.feed.columns if column.facts.key]
            if len(keys) == 1 and any(c.name == keys[0] and not c.facts.key for c in feed.columns):
                parents[keys[0]] = (other.domains[keys[0]], lives[other.feed.dataset])
        inventors[feed.dataset] = Inventor(feed, lives[feed.dataset], dice=dice, first=plan.first, parents=parents)
    return {feed.dataset: _Dataset(feed, world, lives, inventors[feed.dataset], schedule) for feed in feeds}


class _Dataset:
    """One dataset of a plan.

    Attributes:
        feed: its contract.
        loaded: by row number, whether the table has the row after the dumps written so far.
    """

    def __init__(
        self, feed: Feed, world: World, lives: Mapping[str, Lives], inventor: Inventor, schedule: Schedule
    ) -> None:
        self.feed = feed
        self._world = world
        self._lives = lives
        self._own = lives[feed.dataset]
        self._inventor = inventor
        self._plan = schedule.plan
        self._stamps = schedule.stamps
        self._read = [c.name for c in feed.columns if not isinstance(c.facts.treatment, Drop)]
        self._dice = Dice(schedule.plan.seed)
        self._defects = tuple(defect for defect in catalogue_of(feed) if not _hides_key(defect, feed))
        self._not_loaded = np.array([defect.verdict in NOT_LOADED for defect in self._defects] + [False])
        self.loaded = np.zeros(self._own.count, dtype=np.bool_)
        self._said: dict[int, tuple[Ints, Ints]] = {}  # by dump of a snapshot: rows that are loaded, and set apart

    def live(self) -> int:
        """Rows that the table has when all dumps are loaded."""
        if self.feed.snapshot is None:
            return int(self.loaded.sum())
        live = np.zeros(0, dtype=np.int64)
        for _, (good, apart) in sorted(self._said.items()):
            live = np.union1d(good, np.intersect1d(live, apart))
        return len(live)

    def dump(
        self,
        shipment: Shipment,
        key: str,
        out: Delivered,
        repeats: str | None,
        progress: Callable[[Progress], None],
    ) -> DumpManifest:
        """Write one dump, and say what is expected of it."""
        header = self._world.header(self.feed, shipment)
        writer = self._writer(out, header, fields.as_ints([shipment.number]))
        rows = self._own.sent(shipment.day, shipment.part)
        if shipment.trouble is Trouble.EMPTY:
            rows = rows.take(np.zeros(0, dtype=np.int64))
        count = loaded = gained = 0
        said: list[tuple[Ints, Ints]] = []
        tally: Counter[int] = Counter()
        planted: list[Planted] = []
        starts = range(0, max(len(rows), 1), _CHUNK)
        for start in starts:
            some = rows.take(np.arange(start, min(start + _CHUNK, len(rows))))
            some, rule, batch = self._batch(some, writer, header, self._stamps[shipment.number])
            writer.write(batch, last=start == starts[-1])
            spoilt = np.flatnonzero(rule != _CLEAN)
            for row in spoilt[: MOST_LISTED - len(planted)].tolist():
                defect = self._defects[rule[row]]
                planted.append(Planted(defect.rule, count + row + 1, defect.column, defect.verdict))
            tally.update(rule[spoilt].tolist())
            good = ~self._not_loaded[rule] & (rule != self._defects.index(DUPLICATE))
            said.append((some.e[good], some.e[self._not_loaded[rule]]))
            if repeats is None:
                loaded += int(good.sum())
                gained += int((~self.loaded[some.e[good]]).sum())
                self.loaded[some.e[good]] = True
            count += len(some)
            progress(Progress(key, count, out.size))
        if self.feed.snapshot and count:
            self._said[shipment.number] = (
                np.concatenate([good for good, _ in said]),
                np.concatenate([apart for _, apart in said]),
            )
        again = repeats is not None and self.feed.snapshot is None  # a snapshot is of its own time
        verdict = DumpVerdict.EMPTY if not count else DumpVerdict.DUPLICATE if again else DumpVerdict.NEW
        return DumpManifest(
            key=key,
            dataset=self.feed.dataset,
            delivery_day=shipment.stamp.date(),
            stamp=shipment.stamp.astimezone(dt.UTC),
            rows=count,
            loaded=loaded,
            gained=gained,
            sha256=out.sha256.hexdigest(),
            bytes=out.size,
            dialect=Dialect(),
            counts=self._counts(tally),
            planted=tuple(planted),
            arrives=shipment.arrives,
            trouble=shipment.trouble,
            verdict=verdict,
            repeats=repeats,
            forms=writer.forms,
        )

    def _writer(self, out: Delivered, header: Header, number: Ints) -> Writer:
        match self.feed.format:
            case Parquet():
                return ParquetWriter(out, feed=self.feed, header=header, dice=self._dice, number=number)
            case JsonLines():
                return JsonLinesWriter(out, feed=self.feed, header=header, dice=self._dice, number=number)
            case Csv() as csv:
                return CsvWriter(out, feed=self.feed, csv=csv, header=header, dice=self._dice, number=number)
            case FixedWidth():
                raise ValueError(f"{self.feed.name}: fake dumps are not written in fixed width; take real samples")

    def _counts(self, tally: Counter[int]) -> dict[PlantedVerdict, dict[str, int]]:
        counts: dict[PlantedVerdict, dict[str, int]] = {verdict: {} for verdict in PlantedVerdict}
        for number, count in sorted(tally.items()):
            counts[self._defects[number].verdict][self._defects[number].rule] = count
        return counts

    # ------------------------------------------------------------------------------------------ rows

    def _batch(self, rows: Rows, writer: Writer, header: Header, stamp: dt.datetime) -> tuple[Rows, Ints, Batch]:
        """Rows as they are written: duplicates added, spoilt where planned and possible, and how each is spoilt."""
        rule = self._drawn(rows, writer, header)
        rows, rule, older = self._with_duplicates(rows, rule)
        sound = self._sound(rows, older)
        if self.feed.schema.checks:
            # A defect must break its own rule only, so none is planted where it would also break one on whole rows.
            spoilt = np.flatnonzero(rule != _CLEAN)
            tried = self._planted(_taken(sound, spoilt), rows.take(spoilt), rule[spoilt], stamp).columns
            bad = spoilt[self._breaks_row_rule(tried)]
            rule[bad[~older[bad]]] = _CLEAN
            stays = np.ones(len(rows), dtype=np.bool_)
            stays[bad[older[bad]]] = False
            if not stays.all():
                rows, rule = rows.take(stays), rule[stays]
                sound = {name: column.filter(pyarrow.array(stays)) for name, column in sound.items()}
        return rows, rule, self._planted(sound, rows, rule, stamp)

    def _drawn(self, rows: Rows, writer: Writer, header: Header) -> Ints:
        """The defect of each row, where this dump can hold it."""
        rule = np.full(len(rows), _CLEAN, dtype=np.int64)
        number = rows.delivery
        hit = np.flatnonzero(self._dice.chance(f"dirt {self.feed.dataset}", number, self._plan.dirt))
        rule[hit] = self._dice.below(f"rule {self.feed.dataset}", number[hit], len(self._defects))
        held = [writer.takes(d) and (d.column is None or d.column in header.columns) for d in self._defects]
        rule[~np.array([*held, True])[rule]] = _CLEAN
        return rule

    def _with_duplicates(self, rows: Rows, rule: Ints) -> tuple[Rows, Ints, Mask]:
        """The rows with an older one for each planted duplicate: mostly before the newer, without a version always."""
        duplicate = self._defects.index(DUPLICATE)
        twin = rule == duplicate
        index = np.repeat(np.arange(len(rows)), 1 + twin)
        second = (np.cumsum(1 + twin) - 1)[twin]
        name = f"older last {self.feed.dataset}"
        swap = self._dice.chance(name, rows.delivery[twin], 0.3) & (self.feed.version is not None)
        older = np.zeros(len(index), dtype=np.bool_)
        older[np.where(swap, second, second - 1)] = True
        doubled = rule[index]
        doubled[doubled == duplicate] = _CLEAN
        doubled[older] = duplicate
        return rows.take(index), doubled, older

    def _sound(self, rows: Rows, older: Mask) -> dict[str, pyarrow.Array]:
        """Columns that keep every rule of the contract."""
        given = self._world.columns(self.feed, rows, self._lives)
        columns = self._inventor.columns(rows, older, given)
        if not self.feed.schema.checks:
            return columns
        asked = np.flatnonzero(self._breaks_row_rule(columns) & ~older)
        for attempt in range(1, _ATTEMPTS + 1):
            if not len(asked):
                return columns
            self._inventor.redrawn(columns, rows, asked, attempt, given)
            asked = asked[self._breaks_row_rule(_taken(columns, asked))]
        if len(asked):
            rules = ", ".join(str(check.name) for check in self.feed.schema.checks)
            raise ValueError(
                f"{self.feed.name}: no rows can be invented that keep {rules}; it needs a world of its own"
            )
        return columns

    def _breaks_row_rule(self, columns: Mapping[str, pyarrow.Array]) -> Mask:
        """Which rows break a rule on whole rows."""
        timezone = self.feed.sender.timezone
        typed = pyarrow.table({name: contract_type(columns[name], timezone) for name in self._read})
        broken = np.zeros(typed.num_rows, dtype=np.bool_)
        if typed.num_rows:
            frame = typed.to_pandas(types_mapper=pd.ArrowDtype)
            for check in self.feed.schema.checks:
                broken |= broken_by(check, frame)
        return broken

    def _planted(self, sound: Mapping[str, pyarrow.Array], rows: Rows, rule: Ints, stamp: dt.datetime) -> Batch:
        """The columns with the planted defects in them."""
        columns = dict(sound)
        texts: dict[str, dict[int, bytes]] = {}
        values: dict[str, dict[int, object]] = {}
        ragged: list[int] = []
        local = stamp.replace(tzinfo=None)
        for row in np.flatnonzero(rule != _CLEAN).tolist():
            defect = self._defects[rule[row]]
            if defect is RAGGED:
                ragged.append(row)
            elif defect.column is not None and defect.texts:
                texts.setdefault(defect.column, {})[row] = defect.texts[int(rows.e[row]) % len(defect.texts)] or b""
            elif defect.column is not None:
                values.setdefault(defect.column, {})[row] = _value(defect, int(rows.e[row]), local)
        for name, patch in values.items():
            mask = np.zeros(len(rows), dtype=np.bool_)
            mask[fields.as_ints(list(patch))] = True
            spoilt = pyarrow.array(list(patch.values()), columns[name].type)
            columns[name] = pc.replace_with_mask(columns[name], pyarrow.array(mask), spoilt)
        return Batch(columns, texts, ragged)


def _hides_key(defect: Defect, feed: Feed) -> bool:
    """Whether a defect leaves open whose row it spoils: a snapshot with one deletes nothing, and is no good example."""
    keys = [column.name for column in feed.columns if column.facts.key]
    return feed.snapshot is not None and (defect is RAGGED or defect.column in keys)


def _taken(columns: Mapping[str, pyarrow.Array], rows: Ints) -> dict[str, pyarrow.Array]:
    index = pyarrow.array(rows)
    return {name: column.take(index) for name, column in columns.items()}


def _value(defect: Defect, number: int, stamp: dt.datetime) -> object:
    """The value that stands in a spoilt row."""
    if defect.moment is None:
        return defect.values[number % len(defect.values)]
    moment = dt.timedelta(microseconds=defect.moment)
    return stamp + moment if defect.since_stamp else dt.datetime(1970, 1, 1) + moment  # noqa: DTZ001 - naive as delivered
