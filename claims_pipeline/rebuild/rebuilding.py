"""Making tables again: each archived dump through its steps once more, in the order of arrival.

Belongs here: the order, and decisions of persons at their place. Does not belong here: the steps (`flow`), SQL
(`warehouse.rebuilt`).
"""

from __future__ import annotations

import datetime as dt
import itertools
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from pydantic import SecretStr

from claims_pipeline import decisions
from claims_pipeline.decisions import Decision
from claims_pipeline.erasure import erase_in_tables, take_notes
from claims_pipeline.errors import ClaimsPipelineError
from claims_pipeline.feeds import Feed, all_feeds, family
from claims_pipeline.flow import Flow
from claims_pipeline.frames.keys import Keys
from claims_pipeline.landing import layout, s3
from claims_pipeline.landing.s3_deletion import delete_objects
from claims_pipeline.rebuild.archive import Archived, archived_dumps
from claims_pipeline.services import Services
from claims_pipeline.undo import take_out
from claims_pipeline.vocabulary import DumpStatus, DumpVerdict
from claims_pipeline.warehouse import compare, effect, ledger, rebuilt
from claims_pipeline.warehouse.compare import Content
from claims_pipeline.warehouse.ledger import Dump
from claims_pipeline.warehouse.migrate import migrate

Each = Callable[[int, int, str], None]
"""Told before each dump: how many are done, how many there are, and its file name."""


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
        erase_in_tables(flow, wanted)
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
            services.settings.model_copy(update={"database_url": SecretStr(url), "owner_database_url": None}),
            s3_client=lambda: services.s3,
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
            take_notes(target, connection, senders={feed.sender.name for feed in feeds})
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
