"""Replacing the tokens of older keys by those of the current one, from the raw archive and without downtime.

Belongs here: which dumps are read again, in which order, and what makes it refuse. Does not belong here: SQL
(warehouse/retoken.py), reading dumps (flow), rings and where they are kept.

Dumps are read before anything is locked. Then all tables of a sender change in one transaction, under the locks that
loads take: readers see the old tokens until it commits, and the new ones in every table after that.
"""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psycopg
import pyarrow
import pyarrow.compute as pc
from psycopg import errors

from claims_pipeline.errors import BadDump, ClaimsPipelineError
from claims_pipeline.feeds import Feed, all_feeds, feeds_of
from claims_pipeline.flow import Flow
from claims_pipeline.flow.validating import REJECTS, ROWS, frames_key, register_of, token_key, write_frames
from claims_pipeline.frames import ValidatedRows, rejects_in
from claims_pipeline.frames.batch import ROW_HASH, ROW_NUMBER
from claims_pipeline.landing import layout, s3
from claims_pipeline.landing.s3_files import object_reader
from claims_pipeline.services import Services
from claims_pipeline.warehouse import ledger, upkeep
from claims_pipeline.warehouse import retoken as sql
from claims_pipeline.warehouse.ledger import Dump
from claims_pipeline.warehouse.load import lock_tables
from claims_pipeline.warehouse.retoken import Changed, Outdated, Use

Each = Callable[[int, int, str], None]
"""Told before each dump is read: how many are done, how many there are, and its file name."""

_MOST_NAMED = 20


@dataclass(frozen=True)
class Retokened:
    """What was done to a sender's tables, or would be done.

    Attributes:
        sender: its name.
        to: version of the current key.
        was: versions of the older keys that were found.
        dumps: how many were read again.
        rows: rows that carried older tokens, those in history and quarantine included.
        feeds: what was changed, by feed; empty for a dry run, and where nothing was to do.
    """

    sender: str
    to: str
    was: tuple[str, ...]
    dumps: int
    rows: int
    feeds: Mapping[str, Changed]


@dataclass(frozen=True)
class _Task:
    """A dump to be read again, as it was when that was found out."""

    feed: Feed
    found: Outdated
    dump: Dump
    frames: str


def retoken(
    flow: Flow, sender: str, *, requested_by: str, dry_run: bool = False, each: Each | None = None
) -> Retokened:
    """Bring every token of a sender to the current key: tables, histories, quarantine, and which frames count.

    Run again, it changes nothing. Broken off, it has changed nothing; frames that it has written are used again.

    Args:
        flow: the steps, for one run; the ring of its services holds the older keys and, last, the current one.
        sender: its name.
        requested_by: who asked, for the audit.
        dry_run: only count.
        each: told of dumps.

    Raises:
        ClaimsPipelineError: dumps cannot be read again, or do not bring the rows any more that tables hold of them;
            nothing was changed, and the message names them.
        Transient: S3 or the database failed; nothing was changed.
    """
    feeds = [feed for feed in feeds_of(sender) if feed.token_columns]
    current, begun = flow.services.keys.token.current[0], dt.datetime.now(dt.UTC)
    with flow.services.database() as connection:
        for feed in feeds:
            sql.begin(connection, feed)
        read: dict[int, _Task] = {}
        while True:
            tasks = _tasks(flow, connection, feeds)
            _refuse_unreadable(flow, tasks)
            if dry_run:
                return _result(sender, current, tasks, {})
            todo = [task for task in tasks if read.get(task.dump.dump_id) != task]
            for place, task in enumerate(todo):
                if each:
                    each(place, len(todo), task.dump.key.rpartition("/")[2])
                _read_again(flow, connection, task)
                read[task.dump.dump_id] = task
            with connection.transaction():
                lock_tables(connection, feeds)
                tasks = _tasks(flow, connection, feeds)
                if any(read.get(task.dump.dump_id) != task for task in tasks):
                    continue  # loads came in between: read what they changed, and look again
                changed = _change(connection, feeds, current)
                frames = _note_frames(flow, connection, feeds)
                done = _result(sender, current, tasks, changed)
                if tasks or frames:
                    _record(connection, flow, done, requested_by=requested_by, begun=begun)
                return done


def _tasks(flow: Flow, connection: psycopg.Connection, feeds: Sequence[Feed]) -> list[_Task]:
    tasks = []
    for feed in feeds:
        for found in sql.outdated(connection, feed, token_key(flow, feed)):
            dump = ledger.get(connection, found.dump_id)
            tasks.append(_Task(feed, found, dump, frames_key(flow, dump, feed)))
    return sorted(tasks, key=lambda task: (task.feed.name, task.dump.place))


def _result(sender: str, current: str, tasks: Sequence[_Task], changed: Mapping[str, Changed]) -> Retokened:
    was = tuple(sorted({version for task in tasks for version in task.found.versions}))
    return Retokened(sender, current, was, len(tasks), sum(task.found.rows for task in tasks), changed)


def uses(services: Services, feeds: Sequence[Feed] | None = None) -> list[Use]:
    """Where versions of the token and quarantine keys are in use: rows by version; of these feeds, or of all."""
    wanted = [feed for feed in (all_feeds() if feeds is None else feeds) if feed.token_columns]
    with services.database() as connection:
        found = [use for feed in wanted for use in sql.token_uses(connection, feed)]
        return [*found, *sql.registered_uses(connection), *sql.sealed_uses(connection)]


# ---------------------------------------------------------------------------------------------- before the lock


def _refuse_unreadable(flow: Flow, tasks: Sequence[_Task]) -> None:
    ring = flow.services.keys.token
    if missing := {version for task in tasks for version in task.found.versions} - set(ring.versions):
        raise ClaimsPipelineError(
            f"tables hold tokens of key {', '.join(sorted(missing))}, which the token ring lacks: put it back in front "
            "of the current one; that rows are the same as then is proven with it"
        )
    gone = [task.dump for task in tasks if task.dump.archive_key is None or task.dump.raw_pruned_at is not None]
    if gone:
        raise ClaimsPipelineError(
            f"nothing was changed: {_named(gone)} carry older tokens, and their raw bytes were pruned by retention, so "
            "that their tokens cannot be made anew. The older key must stay in the ring as long as these rows are there"
        )


def _read_again(flow: Flow, connection: psycopg.Connection, task: _Task) -> None:
    """Read a dump with the current key, and with the older ones, and bring what of it is wanted to the database."""
    feed, dump, services = task.feed, task.dump, flow.services
    sql.forget(connection, feed, dump.dump_id)
    numbers = sql.wanted(connection, feed, dump.dump_id)
    register = register_of(flow, feed)
    others = tuple(version for version in services.keys.token.versions if version != token_key(flow, feed))
    try:
        with tempfile.TemporaryDirectory(prefix="claims-") as folder:
            rows_file, rejects_file = Path(folder) / ROWS, Path(folder) / REJECTS
            if dump.in_effect:  # its frames are needed when dumps are merged again
                bucket = flow.archive_bucket
                if not s3.exists(services.s3, bucket=bucket, key=f"{task.frames}/{ROWS}"):
                    write_frames(flow, dump, feed, task.frames, register)
                rows = ValidatedRows(object_reader(services.s3, bucket=bucket, key=f"{task.frames}/{ROWS}"))
                rejects = rejects_in(object_reader(services.s3, bucket=bucket, key=f"{task.frames}/{REJECTS}"))
            else:
                flow.read(dump, feed, rows_file, rejects_file)
                rows, rejects = ValidatedRows(rows_file), rejects_in(rejects_file)
            wanted = rows.batches([ROW_NUMBER, ROW_HASH, *feed.token_columns], numbers)
            sql.bring(connection, feed, dump.dump_id, wanted)
            if sql.keyed(feed):
                sql.bring_keys(connection, feed, dump.dump_id, _with_key(rejects))
            for version in task.found.versions or others:
                older = Flow(services.signing_with(version), run_id=flow.run_id, progress=flow.progress)
                older.read(dump, feed, rows_file, rejects_file)
                then = ValidatedRows(rows_file).batches([ROW_NUMBER, ROW_HASH], numbers)
                sql.tell(connection, feed, dump.dump_id, then)
    except BadDump as error:
        raise ClaimsPipelineError(f"nothing was changed: {_named([dump])} is refused now: {error}") from None


def _with_key(rejects: Iterator[pyarrow.RecordBatch]) -> Iterator[pyarrow.RecordBatch]:
    for batch in rejects:
        yield batch.select(["row_number", "row_key"]).filter(pc.is_valid(batch.column("row_key")))


# ---------------------------------------------------------------------------------------------- under the lock


def _change(connection: psycopg.Connection, feeds: Sequence[Feed], current: str) -> dict[str, Changed]:
    changed = {}
    for feed in feeds:
        if differing := sql.differing(connection, feed):
            dumps = [ledger.get(connection, number) for number in differing]
            raise ClaimsPipelineError(
                f"nothing was changed: {_named(dumps)}, read again, do not bring the rows that the table and its "
                "history hold of them; the contract has changed since. Load them by the contract of now first: "
                "`claims-pipeline undo` and `redo` each, then retoken"
            )
        try:
            changed[feed.name] = sql.apply(connection, feed, current)
        except errors.UniqueViolation:
            raise ClaimsPipelineError(
                f"nothing was changed: {feed.name} has a token in its key, or in a unique column, and holds rows of "
                "one identifier under two keys. Undo the dumps loaded since the key was added, retoken, redo them"
            ) from None
    return changed


def _note_frames(flow: Flow, connection: psycopg.Connection, feeds: Sequence[Feed]) -> int:
    """Let every dump name frames of the current key; those that were not written now are made when they are needed."""
    noted = 0
    for feed in feeds:
        register, version = register_of(flow, feed), token_key(flow, feed)
        for dump in ledger.select(
            connection,
            "sender = %s and dataset = %s and coalesce(loaded_key, validated_key) is not null",
            [feed.sender.name, feed.dataset],
        ):
            if layout.token_key_of(dump.loaded_key or dump.validated_key or "") != version:
                noted += sql.note_frames(connection, dump.dump_id, frames_key(flow, dump, feed, register))
    return noted


def _record(
    connection: psycopg.Connection, flow: Flow, done: Retokened, *, requested_by: str, begun: dt.datetime
) -> None:
    upkeep.record(
        connection,
        kind="retoken",
        dry_run=False,
        items=sum(one.table + one.history for one in done.feeds.values()),
        bytes_=None,
        oldest=None,
        detail={
            "sender": done.sender,
            "from": list(done.was),
            "to": done.to,
            "dumps": done.dumps,
            "feeds": {name: asdict(one) for name, one in done.feeds.items()},
        },
        error="",
        run_id=flow.run_id,
        requested_by=requested_by,
        started_at=begun,
    )


def _named(dumps: Sequence[Dump]) -> str:
    names = ", ".join(f"{dump.dump_id} ({dump.feed}, {dump.delivery_day})" for dump in dumps[:_MOST_NAMED])
    more = f" and {len(dumps) - _MOST_NAMED} more" if len(dumps) > _MOST_NAMED else ""
    return f"{'dump' if len(dumps) == 1 else 'dumps'} {names}{more}"
