"""Makes tables again from the raw archive alone, in an empty database, and compares them with the live ones.

Belongs here: reading the archive's manifests and notes, taking each dump through its steps once more in the order of
arrival, and the drill. Does not belong here: the steps (`flow`), SQL (`warehouse.rebuilt`, `warehouse.compare`).

A rebuild reads no ledger: numbers, names, times and hashes of dumps are in the manifests beside them, decisions of
persons in notes beside those, and what a dump is (superseding, duplicate...) is decided again. Dumps are taken in the
order of their numbers, which is that of arrival, because that decision depends on what was known before. It writes
nothing below `raw/` and `validated/`; its frames lie below `rebuild/` until it ends.
"""

from __future__ import annotations

import datetime as dt
import itertools
import json
import re
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

from pydantic import SecretStr

from claims_pipeline import decisions
from claims_pipeline.decisions import Decision
from claims_pipeline.errors import ClaimsPipelineError
from claims_pipeline.feeds import Feed, all_feeds, family, feed_named
from claims_pipeline.flow import UNKNOWN, Flow
from claims_pipeline.frames.keys import Keys
from claims_pipeline.landing import layout, s3
from claims_pipeline.landing.s3_deletion import delete_objects
from claims_pipeline.services import Services
from claims_pipeline.undo import take_out
from claims_pipeline.vocabulary import DumpStatus, DumpVerdict
from claims_pipeline.warehouse import compare, effect, ledger, rebuilt
from claims_pipeline.warehouse.compare import Content, Difference
from claims_pipeline.warehouse.connection import connect
from claims_pipeline.warehouse.ledger import Dump
from claims_pipeline.warehouse.migrate import migrate
from claims_pipeline.warehouse.rebuilt import Candidate, Entry
from claims_pipeline.warehouse.scratch import scratch_database, sole_drill
from claims_pipeline.warehouse.upkeep import SCRATCH

Each = Callable[[int, int, str], None]
"""Told before each dump: how many are done, how many there are, and its file name."""

_READERS = 8  # threads that read manifests: each waits for S3, not for the processor


@dataclass(frozen=True)
class Archived:
    """A dump as the raw archive knows it.

    Attributes:
        entry: what its manifest says.
        sha256: of its bytes, hex, as they were archived.
        at: when that was, UTC, just before it was decided what it is.
        present: whether its bytes are still there.
        decided: whether notes of decisions lie beside it.
    """

    entry: Entry
    sha256: str
    at: dt.datetime
    present: bool
    decided: bool


@dataclass(frozen=True)
class Rebuilt:
    """What a rebuild made.

    Attributes:
        feeds: names of the feeds, those included without which theirs could not be made.
        dumps: dumps of these feeds in the archive.
        statuses: how far they came, by status.
        gone: dumps whose bytes are no longer in the archive, or not as they were.
        rows: rows in the feeds' tables.
        seconds: wall time.
    """

    feeds: tuple[str, ...]
    dumps: int
    statuses: dict[str, int]
    gone: int
    rows: int
    seconds: float


@dataclass(frozen=True)
class Comparison:
    """The live tables beside the rebuilt ones.

    Attributes:
        tables: how many were compared, histories included.
        differences: those that differ.
        only_live: dumps whose rows are in the live tables only.
        only_rebuilt: dumps whose rows are in the rebuilt tables only.
    """

    tables: int
    differences: tuple[Difference, ...]
    only_live: tuple[int, ...]
    only_rebuilt: tuple[int, ...]

    @property
    def equal(self) -> bool:
        """Whether every table and history is the same."""
        return not self.differences

    @property
    def summary(self) -> str:
        """What differs, in a line; empty where nothing does."""
        if self.equal:
            return ""
        parts = [
            f"{d.table}: {d.missing:,} live rows were not made again, {d.extra:,} rows are in the rebuild only"
            for d in self.differences
        ]
        for numbers, where in ((self.only_live, "live"), (self.only_rebuilt, "rebuilt")):
            if numbers:
                more = f" and {len(numbers) - 10} more" if len(numbers) > 10 else ""
                parts.append(f"in the {where} tables only: dumps {', '.join(map(str, numbers[:10]))}{more}")
        return f"{len(self.differences)} of {self.tables} tables differ: {'; '.join(parts)}"


# ---------------------------------------------------------------------------------------------- the archive


def archived_dumps(services: Services, feeds: Sequence[Feed] | None = None) -> list[Archived]:
    """Every dump that the raw archive holds a manifest of, in the order of arrival.

    Args:
        services: whose archive.
        feeds: only these; None for all, those included that no contract knows.

    Raises:
        ClaimsPipelineError: a manifest cannot be understood.
        Transient: S3 failed.
    """
    bucket = services.settings.archive_bucket
    prefixes = ["raw/"] if feeds is None else [layout.raw_prefix(feed.sender.name, feed.dataset) for feed in feeds]
    keys = {item.key for prefix in prefixes for page in s3.list_objects(services.s3, bucket, prefix) for item in page}
    suffix = layout.manifest_key("")
    # A file of a sender may itself be named like a manifest: then it has one.
    raw = [key.removesuffix(suffix) for key in keys if key.endswith(suffix) and layout.manifest_key(key) not in keys]
    decided = {match[1] for key in keys if (match := _DECISION.fullmatch(key))}

    def understood(key: str) -> Archived:
        with s3.open_object(services.s3, bucket=bucket, key=layout.manifest_key(key)) as body:
            return _understood(body.read(), key, present=key in keys, decided=key in decided)

    with ThreadPoolExecutor(_READERS) as pool:
        found = list(pool.map(understood, sorted(raw)))
    # A dump that was unknown at first lies in the archive twice: what it was recognised as, the later one here, counts.
    found.sort(key=lambda dump: (dump.entry.dump_id, dump.entry.dataset is not None))
    return list({dump.entry.dump_id: dump for dump in found}.values())


_DECISION = re.compile(r"(.+)\.decision\.[0-9]+\.json")


def _understood(body: bytes, key: str, *, present: bool, decided: bool) -> Archived:
    try:
        said = json.loads(body)
        sender, _, dataset = said["feed"].partition("/")
        modified = dt.datetime.fromisoformat(said["last_modified"])
        entry = Entry(
            dump_id=int(said["dump_id"]),
            sender=sender,
            dataset=None if dataset == UNKNOWN else dataset,
            bucket=said["bucket"],
            key=said["key"],
            etag=said["etag"],
            version_id=said["version_id"],
            size_bytes=int(said["size_bytes"]),
            last_modified=modified,
            delivery_day=dt.date.fromisoformat(said["delivery_day"]),
            stamp=dt.datetime.fromisoformat(said["stamp"]),
            # Manifests of the first version do not tell when their dump was found, and when archived.
            arrived_at=dt.datetime.fromisoformat(said["arrived_at"]) if "arrived_at" in said else modified,
            archive_key=key,
        )
        at = dt.datetime.fromisoformat(said["archived_at"]) if "archived_at" in said else modified
        return Archived(entry, said["sha256"], at, present, decided)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ClaimsPipelineError(f"the archive's manifest {layout.manifest_key(key)} cannot be understood") from None


# ---------------------------------------------------------------------------------------------- rebuilding


def with_kin(feeds: Iterable[Feed]) -> list[Feed]:
    """The feeds, and those without which their tables cannot be made (parents and replaced sets), in order."""
    names: set[str] = set()
    waiting = list(feeds)
    while waiting:
        feed = waiting.pop()
        if feed.name not in names:
            names.add(feed.name)
            waiting += family(feed)
    return [feed for feed in all_feeds() if feed.name in names]


def rebuild(
    services: Services,
    url: str,
    *,
    run_id: str,
    feeds: Sequence[Feed] | None = None,
    live: Content | None = None,
    each: Each | None = None,
) -> Rebuilt:
    """Make the tables of feeds from the raw archive, in an empty database. Goes on with one that was broken off.

    Args:
        services: archive and keys; of its database nothing is read.
        url: of the database to make, which is empty or holds this rebuild, broken off or ended.
        run_id: noted in its ledger and audit.
        feeds: which, their kin are added; None for all.
        live: what the live database held, for a comparison: dumps that it had not loaded yet, or had given up, are
            entered and not loaded, since their rows are not in its tables.
        each: told of each dump.

    Raises:
        ClaimsPipelineError: the database is not empty, or holds a rebuild of other feeds.
        Transient: S3 or the database failed; call again to go on.
    """
    started = time.monotonic()
    wanted = list(all_feeds()) if feeds is None else with_kin(feeds)
    target = _Target(services, url)
    frames, finished = _begin(target, wanted, run_id)
    dumps = archived_dumps(services, None if feeds is None else wanted)
    if not finished:
        flow = Flow(target, run_id=run_id, frames_prefix=frames)
        with target.database() as connection:
            rebuilt.enter(connection, [dump.entry for dump in dumps])
        _take(flow, dumps, {feed.name: feed for feed in wanted}, live, each)
        with target.database() as connection:
            rebuilt.note_finished(connection, frames=frames, run_id=run_id)
    remove_frames(services, frames)
    with target.database() as connection:
        numbers = [dump.entry.dump_id for dump in dumps]
        settled = ledger.select(connection, "dump_id = any(%s)", [numbers])
        rows = rebuilt.rows_of(connection, [compare.name_of(feed, history=False) for feed in wanted])
    return Rebuilt(
        feeds=tuple(feed.name for feed in wanted),
        dumps=len(dumps),
        statuses=dict(Counter(dump.status.value for dump in settled)),
        gone=sum(1 for dump in settled if dump.reason in (_GONE, _CHANGED)),
        rows=rows,
        seconds=round(time.monotonic() - started, 3),
    )


class _Target(Services):
    """The services with another database; archive and keys stay, embedded ones too."""

    def __init__(self, services: Services, url: str) -> None:
        super().__init__(
            services.settings.model_copy(update={"database_url": SecretStr(url)}), s3_client=lambda: services.s3
        )
        self._services = services

    @cached_property
    def keys(self) -> Keys:
        return self._services.keys


def _begin(target: Services, feeds: Sequence[Feed], run_id: str) -> tuple[str, bool]:
    """Make the database ready; returns the folder of the frames, and whether the rebuild was finished before."""
    names, archive = sorted(feed.name for feed in feeds), target.settings.archive_bucket
    with target.database() as connection:
        found = rebuilt.begun(connection)
        if found is not None:
            if (list(found.feeds), found.archive) != (names, archive):
                raise ClaimsPipelineError(
                    "the database holds a rebuild of other feeds, or from another archive: give an empty one"
                )
            return found.frames, found.finished
        frames = f"{layout.REBUILD}{connection.info.dbname}-{secrets.token_hex(4)}/"
        with connection.transaction():  # one: a database that is half migrated would be neither empty nor a rebuild
            migrate(connection, feeds)
            rebuilt.note_begun(connection, feeds=names, archive=archive, frames=frames, run_id=run_id)
    return frames, False


def _take(
    flow: Flow, dumps: Sequence[Archived], feeds: Mapping[str, Feed], live: Content | None, each: Each | None
) -> None:
    """Take every dump through its steps, and carry out undo and redo between them, as it was."""
    notes = {
        dump.entry.dump_id: decisions.read(flow.services, dump.entry.archive_key) for dump in dumps if dump.decided
    }
    by_number = {dump.entry.dump_id: feeds.get(f"{dump.entry.sender}/{dump.entry.dataset}") for dump in dumps}
    later = sorted(
        ((note.at, number, note) for number, of_dump in notes.items() for note in of_dump if note.what in _LATER),
        key=lambda item: item[:2],
    )

    def decide_until(moment: dt.datetime | None) -> None:
        while later and (moment is None or later[0][0] < moment):
            _, number, note = later.pop(0)
            if (feed := by_number[number]) is not None:
                _decide_later(flow, number, feed, note, [other for other in notes[number] if other.at > note.at])

    for done, dump in enumerate(dumps):
        number = dump.entry.dump_id
        decide_until(dump.at)
        if each is not None:
            each(done, len(dumps), dump.entry.key.rpartition("/")[2])
        feed = by_number[number]
        if feed is None:
            continue
        if live is not None and number in live.failed:
            _settle(flow, number, DumpStatus.FAILED, _FAILED)
            continue
        load = live is None or not (number in live.open or number > live.newest)
        _take_one(flow, dump, feed, notes.get(number, []), load=load)
    decide_until(None)


_LATER = ("undo", "redo")

_FAILED = "given up by the live pipeline, with which this database is compared"
_GONE = "its bytes are no longer in the archive"
_CHANGED = "the archived bytes are not those of its manifest: the raw archive was changed"


def _take_one(flow: Flow, archived: Archived, feed: Feed, notes: Sequence[Decision], *, load: bool) -> None:
    entry = archived.entry
    with flow.services.database() as connection:
        dump = ledger.get(connection, entry.dump_id)
    if dump.status is DumpStatus.ARRIVED:
        if not archived.present:
            _settle(flow, entry.dump_id, DumpStatus.REFUSED, _GONE)
            return
        size, sha256 = s3.digest(flow.services.s3, bucket=flow.archive_bucket, key=entry.archive_key)
        if (size, sha256) != (entry.size_bytes, archived.sha256):
            _settle(flow, entry.dump_id, DumpStatus.REFUSED, _CHANGED)
            return
        dump = flow.judge(dump, archive_key=entry.archive_key, size=size, sha256=sha256, version_id=entry.version_id)
    if not load:
        return
    _load(flow, dump, feed, notes)


def _load(flow: Flow, dump: Dump, feed: Feed, notes: Sequence[Decision]) -> None:
    """Load an archived dump; where it is held, as the persons' decisions say that came before any undo or redo."""
    if dump.status is DumpStatus.ARCHIVED:
        dump = flow.validate(dump, feed)
    dump = flow.load(dump, feed)
    for note in itertools.takewhile(lambda note: note.what not in _LATER, notes):
        if dump.verdict is DumpVerdict.HELD:
            dump = flow.load(_decide_held(flow, dump, note), feed)


def _settle(flow: Flow, number: int, status: DumpStatus, reason: str) -> None:
    with flow.services.database() as connection:
        ledger.settle(connection, number, status, reason=reason)


def _decide_held(flow: Flow, dump: Dump, note: Decision) -> Dump:
    with flow.services.database() as connection, connection.transaction():
        if note.what == "approve":
            ledger.approve(connection, dump.dump_id, note.by)
        else:
            ledger.reject(connection, dump.dump_id, note.by, note.reason)
        rebuilt.note_decision(connection, dump.dump_id, what=note.what, by=note.by, reason=note.reason, at=note.at)
        return ledger.get(connection, dump.dump_id)


def _decide_later(flow: Flow, number: int, feed: Feed, note: Decision, after: Sequence[Decision]) -> None:
    """Undo or redo a dump, once: what was noted before a rebuild broke off is done."""
    with flow.services.database() as connection:
        if rebuilt.is_noted(connection, number, what=note.what, at=note.at):
            return
        dump = ledger.get(connection, number)
        if note.what == "redo" and dump.status is DumpStatus.UNDONE:
            effect.reopen_undone(connection, number)
            dump = ledger.get(connection, number)
    if note.what == "redo":
        _load(flow, dump, feed, after)
    with flow.services.database() as connection, connection.transaction():
        if note.what == "undo" and dump.in_effect:
            take_out(flow, connection, dump, feed, reason=f"{note.by}: {note.reason}")
        rebuilt.note_decision(connection, number, what=note.what, by=note.by, reason=note.reason, at=note.at)


def remove_frames(services: Services, prefix: str) -> None:
    """Delete the frames of a rebuild.

    Raises:
        ValueError: the prefix is not of a rebuild.
        Transient, ClaimsPipelineError: S3 failed or refused.
    """
    if not prefix.startswith(layout.REBUILD):
        raise ValueError("only what a rebuild has written is removed")
    bucket = services.settings.archive_bucket
    for page in s3.list_objects(services.s3, bucket, prefix):
        delete_objects(services.s3, bucket=bucket, keys=[item.key for item in page])


# ---------------------------------------------------------------------------------------------- comparing


def snapshot(services: Services, feeds: Sequence[Feed] | None = None) -> Content:
    """What the live database holds now of feeds and their kin: take it before a rebuild that is to be compared."""
    with services.database() as connection:
        return compare.content(connection, list(all_feeds()) if feeds is None else with_kin(feeds))


def compare_with(
    services: Services, url: str, *, feeds: Sequence[Feed] | None = None, live: Content | None = None
) -> Comparison:
    """Compare the live tables and histories with those of a rebuilt database.

    Args:
        services: of the live database.
        url: of the rebuilt one.
        feeds: which, with their kin; None for all.
        live: what the live database held when the rebuild began; None: what it holds now.
    """
    wanted = list(all_feeds()) if feeds is None else with_kin(feeds)
    with services.database() as here, connect(url) as there:
        known = live or compare.content(here, wanted)
        other = compare.content(there, wanted)
        return Comparison(
            tables=len(known.tables),
            differences=tuple(compare.differences(here, there, wanted, of_one=known, of_other=other)),
            only_live=tuple(sorted(known.in_effect - other.in_effect)),
            only_rebuilt=tuple(sorted(other.in_effect - known.in_effect)),
        )


# ---------------------------------------------------------------------------------------------- the drill


@dataclass(frozen=True)
class Drill:
    """A rebuild of a sample in a scratch database, compared with the live tables."""

    rebuilt: Rebuilt
    comparison: Comparison


def choose(
    candidates: Sequence[Candidate], families: Mapping[str, Sequence[str]], *, most_bytes: int
) -> tuple[str, ...] | None:
    """The feeds of the next drill: the one not drilled for the longest time, with its kin. Pure.

    Args:
        candidates: feeds with dumps in effect.
        families: the kin of each, itself included.
        most_bytes: of raw dumps, of a whole family; larger ones are left out, and those that retention has pruned.

    Returns:
        Names, the chosen feed's first; None where none can be drilled.
    """
    by_name = {candidate.feed: candidate for candidate in candidates}
    never = dt.datetime.min.replace(tzinfo=dt.UTC)
    for candidate in sorted(candidates, key=lambda c: (c.drilled_at or never, c.feed)):
        kin = [by_name[name] for name in families[candidate.feed] if name in by_name]
        if not any(one.pruned for one in kin) and sum(one.raw_bytes for one in kin) <= most_bytes:
            return (candidate.feed, *(name for name in families[candidate.feed] if name != candidate.feed))
    return None


def drill(services: Services, *, run_id: str, each: Each | None = None) -> Drill | None:
    """Rebuild the feed that was not drilled for the longest time, and its kin, beside the live tables, and compare.

    Returns:
        What came of it; None where no dump is in effect yet.

    Raises:
        ClaimsPipelineError: it could not be done, which is no better than a difference.
        Transient: S3 or the database failed; call again.
    """
    started = time.monotonic()
    with services.database() as connection:
        found = rebuilt.candidates(connection)
    known = {feed.name for feed in all_feeds()}
    found = [candidate for candidate in found if candidate.feed in known]
    families = {c.feed: [feed.name for feed in with_kin([feed_named(c.feed)])] for c in found}
    names = choose(found, families, most_bytes=services.settings.rebuild_drill_bytes)
    if not found:
        return None
    if names is None:
        raise ClaimsPipelineError(
            f"none of {len(found)} feeds can be drilled: each, with its kin, has more bytes of raw dumps than "
            "CLAIMS_REBUILD_DRILL_BYTES, or retention has deleted some"
        )
    feeds = [feed_named(name) for name in names]
    here = services.database_url
    with sole_drill(here, "rebuild") as label, _no_frames_left(services, f"{layout.REBUILD}{SCRATCH}{label}_"):
        live = snapshot(services, feeds)
        with scratch_database(here, label) as url:
            made = rebuild(services, url, run_id=run_id, feeds=feeds, live=live, each=each)
            comparison = compare_with(services, url, feeds=feeds, live=live)
    with services.database() as connection:
        rebuilt.note_drill(
            connection,
            feeds=made.feeds,
            archive=services.settings.archive_bucket,
            dumps=made.dumps,
            rows=made.rows,
            differences=comparison.differences,
            seconds=round(time.monotonic() - started, 3),
            run_id=run_id,
        )
    return Drill(made, comparison)


@contextmanager
def _no_frames_left(services: Services, prefix: str) -> Iterator[None]:
    """Remove what an earlier drill that was killed has left, and what this one leaves."""
    remove_frames(services, prefix)
    try:
        yield
    finally:
        remove_frames(services, prefix)
