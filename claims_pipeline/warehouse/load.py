"""The load: one dump, one transaction. Rows, history, quarantine, audit and ledger commit together or not at all.

Belongs here: COPY to staging, the order of the merge's steps, what is written beside the rows. Does not belong here:
where the validated frames come from, and whether the dump may be loaded at all (decided before, see `flow`).
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import psycopg
import pyarrow
from psycopg import sql
from psycopg.types.json import Jsonb

from claims_pipeline.errors import ClaimsPipelineError
from claims_pipeline.failpoints import reach
from claims_pipeline.feeds import Feed
from claims_pipeline.vocabulary import RowCounts
from claims_pipeline.warehouse import apart, chain, effect, fold, ledger, merge
from claims_pipeline.warehouse.apart import Seal
from claims_pipeline.warehouse.chain import Rewound
from claims_pipeline.warehouse.ddl import columns_sql
from claims_pipeline.warehouse.fold import Frames
from claims_pipeline.warehouse.ledger import Dump
from claims_pipeline.warehouse.merge import MergeContext
from claims_pipeline.warehouse.staging import Rows, stage

# Of the transaction alone. Postgres reckons with disks on which a random read costs four of a sequential one, and would
# scan a whole table for a delta of 2 % of it: 4.0 s for 100,000 rows of 5,000,000 instead of 0.7 (docs/postgres.md).
# The memory holds a million staged rows, which would else be joined in 16 parts on disk: 9.3 s instead of 3.6.
_SETTINGS = {"random_page_cost": "1.1", "work_mem": "64MB"}


class TooManyDeletedError(ClaimsPipelineError):
    """A snapshot lacks more rows than its contract lets one dump delete; nothing was written."""

    def __init__(self, *, deleted: int, stored: int) -> None:
        """Counts of rows: those that it lacks, of those that the table has."""
        super().__init__(f"the snapshot lacks {deleted:,} of the table's {stored:,} rows")
        self.deleted = deleted
        self.stored = stored


@dataclass(frozen=True)
class Loaded:
    """What a load did.

    Attributes:
        load_id: its number in the audit.
        rows: rows by verdict, conserved.
        conflicts: rows set apart because a unique value belongs to another key, by rule id.
        removed_with_parent: rows of replaced sets removed because their parent has none any more, by feed.
        replayed: later dumps that were merged again, since this one came out of order or otherwise than before.
        seconds: time by stage.
    """

    load_id: int
    rows: RowCounts
    conflicts: dict[str, int]
    removed_with_parent: dict[str, int]
    replayed: int
    seconds: dict[str, float]


@dataclass(frozen=True)
class Undone:
    """What taking a dump out did: rows that left the table, earlier versions that are back, dumps merged again."""

    load_id: int
    removed: int
    restored: int
    replayed: int


def load_dump(
    connection: psycopg.Connection,
    feed: Feed,
    dump: Dump,
    *,
    rows: Rows,
    rejects: Iterable[pyarrow.RecordBatch],
    read: int,
    filtered: int,
    seal: Seal,
    frames: Frames,
    children: Sequence[Feed] = (),
    run_id: str,
    spent: Mapping[str, float] | None = None,
) -> Loaded | None:
    """Load one validated dump, at its place among the dumps of its feed.

    Args:
        connection: where the caller has begun a transaction, the load is a savepoint of it.
        feed: the dump's contract; the database must know it (`migrate`).
        dump: the ledger's row of the dump.
        rows: its validated rows.
        rejects: batches of `QUARANTINE_SCHEMA`.
        read: rows read from the dump, all verdicts.
        filtered: rows that the contract left out.
        seal: seals rows that turn out here to belong into quarantine.
        frames: gives the rows of other dumps in effect, where later ones must be merged again.
        children: feeds whose rows are replaced as sets with rows of this feed.
        run_id: of the audit.
        spent: seconds of the steps before, by stage; of the audit.

    Returns:
        What was done; None where another dump stands for this one, which the ledger then says, or where the ledger's
        row is no longer as given: another process has gone on with the dump.

    Raises:
        TooManyDeletedError: a snapshot that nobody approved; nothing was written.
        psycopg.Error: nothing was written.
        ClaimsPipelineError: rows were not conserved; nothing was written.
    """
    with connection.transaction():
        work = _Work(connection, feed, children, frames, seal, run_id, reason="", spent=spent or {})
        clock = work.clock
        if not ledger.is_still(connection, dump):  # another process has loaded it, or gone on with it
            return None
        known, dump = dump, ledger.get(connection, dump.dump_id)
        if dump.validated_key != known.validated_key:  # its frames were written again, without an erased person
            return None
        standing = effect.standing(connection, dump, snapshot=feed.snapshot is not None)
        if standing.yields_to is not None:
            effect.give_way(connection, dump, standing.yields_to)
            return None
        reach("load.begun")
        context = work.context(dump)
        with clock.stage("stage"):
            staged = stage(connection, feed, rows)
        reach("load.copied")
        with clock.stage("quarantine"):
            quarantined = apart.set_apart(connection, feed, dump, context.load_id, rejects)
        with clock.stage("merge"):
            duplicates = merge.drop_duplicates(connection, feed, staged)
            later = effect.in_effect_since(connection, dump.sender, feed.dataset, dump.stamp, dump.dump_id)
            if not (later or standing.replaces or dump.in_effect or chain.ended_since(connection, feed, context)):
                merged, removed, replayed = work.in_order(dump, context, rows), work.removed, 0
            else:
                merged = work.out_of_order(dump, context, rows, standing.replaces)
                removed, replayed = work.removed, work.replayed
        reach("load.merged")
        with clock.stage("conflicts"):
            conflict_batches = apart.conflict_batches(merged.conflicts, seal)
            quarantined += apart.set_apart(connection, feed, dump, context.load_id, conflict_batches)
            apart.resolve_older(connection, dump, context.load_id)
        reach("load.quarantined")
        conflicts = merged.rows.quarantined
        counts = replace(
            merged.rows, read=read, filtered=filtered, duplicate=duplicates,
            quarantined=quarantined + conflicts - len(merged.conflicts),
        )  # fmt: skip
        if not counts.conserved or staged.rows + filtered + counts.quarantined - conflicts != read:
            raise ClaimsPipelineError(
                f"rows of dump {dump.dump_id} ({feed.name}) are not conserved: {counts.as_dict()}, "
                f"staged {staged.rows}; nothing was written. "
                "This is a defect of the pipeline: report it with this line."
            )
        kind = "reload" if _was_loaded(connection, dump) else "load"
        work.audit(context.load_id, kind, feed, dump, counts)
        reach("load.audited")
        for other in standing.replaces:
            effect.step_aside(connection, other, dump, context.at)
            apart.close(connection, other, context.at)
        effect.take_effect(connection, dump.dump_id)
        reach("load.settled")
    reach("load.committed")
    by_rule = dict(merged.known_conflicts)
    for conflict in merged.conflicts:
        by_rule[f"unique.{conflict.column}"] = by_rule.get(f"unique.{conflict.column}", 0) + 1
    return Loaded(context.load_id, counts, by_rule, removed, replayed, clock.so_far())


def undo_dump(
    connection: psycopg.Connection,
    feed: Feed,
    dump: Dump,
    *,
    seal: Seal,
    frames: Frames,
    children: Sequence[Feed] = (),
    run_id: str,
    reason: str,
) -> Undone:
    """Take a dump out: table and history as if it had never come, and the audit says that it had.

    A dump whose place it took because of its name is in effect again.

    Args:
        connection: as for `load_dump`, like the others.
        feed: the dump's contract.
        dump: the ledger's row of a dump in effect.
        seal: seals rows that turn out to belong into quarantine.
        frames: gives the rows of other dumps.
        children: feeds whose rows are replaced as sets with rows of this feed.
        run_id: of the audit.
        reason: who and why; of the audit and the ledger.

    Raises:
        ClaimsPipelineError: the dump is not in effect.
        psycopg.Error: nothing was written.
    """
    with connection.transaction():
        work = _Work(connection, feed, children, frames, seal, run_id, reason, spent={})
        dump = ledger.get(connection, dump.dump_id)
        if not dump.in_effect:
            raise ClaimsPipelineError(
                f"dump {dump.dump_id} ({dump.status}) is not in effect: there is nothing of it in the table to undo"
            )
        context = work.context(dump)
        revived = effect.superseded_by(connection, dump.dump_id)
        revived_rows = None
        if revived is not None:
            revived_rows = frames(feed, revived)
            merge.drop_duplicates(connection, feed, stage(connection, feed, revived_rows))
        rewound = work.take_out(dump, context, revived, revived_rows)
        apart.close(connection, dump, context.at)
        effect.undone(connection, dump.dump_id, reason=reason, at=context.at)
        if revived is not None:
            effect.revived(connection, revived.dump_id, reason=f"in effect again: dump {dump.dump_id} was undone")
            apart.reopen(connection, revived)
        effects = {"rows_removed": rewound.removed, "rows_restored": rewound.restored}
        work.audit(context.load_id, "undo", feed, dump, RowCounts(), **effects)
    return Undone(context.load_id, rewound.removed, rewound.restored, work.replayed)


class _Work:
    """One transaction's work on one feed: its lock, its clock, and what it does to others on the way."""

    def __init__(
        self,
        connection: psycopg.Connection,
        feed: Feed,
        children: Sequence[Feed],
        frames: Frames,
        seal: Seal,
        run_id: str,
        reason: str,
        spent: Mapping[str, float],
    ) -> None:
        self.connection = connection
        self.feed = feed
        self.children = children
        self.frames = frames
        self.seal = seal
        self.run_id = run_id
        self.reason = reason
        self.spent = spent
        self.started = dt.datetime.now(dt.UTC)
        self.clock = _Clock()
        self.removed: dict[str, int] = {}
        self.replayed = 0
        for name, value in _SETTINGS.items():
            connection.execute("select set_config(%s, %s, true)", [name, value])
        lock_tables(connection, [feed, *children])
        row = connection.execute("select clock_timestamp()").fetchone()
        assert row is not None  # noqa: S101 - it always has one
        self.at: dt.datetime = row[0]
        """Taken under the lock, so that of two loads the later one has the later time."""

    def context(self, dump: Dump) -> MergeContext:
        return MergeContext(dump.dump_id, dump.stamp, self.next_load_id(), self.at)

    def next_load_id(self) -> int:
        row = self.connection.execute("select nextval(pg_get_serial_sequence('ops.load', 'load_id'))").fetchone()
        return int(row[0]) if row else 0

    def in_order(self, dump: Dump, context: MergeContext, rows: Rows) -> fold.Merged:
        """Merge the stage: every dump in effect has an earlier place."""
        if self.feed.snapshot and dump.approved_by is None:
            self._guard(*merge.count_absent(self.connection, self.feed, context))
        merged = fold.merge_staged(self.connection, self.feed, dump, context, rows, partial=False)
        if gone := fold.empty_staged_sets(self.connection, self.feed, context):
            merged = replace(merged, rows=merged.rows + RowCounts(deleted=gone))
        self.connection.execute("alter table stage rename to parent_stage")
        for child in self.children:
            size = fold.touch_emptied_parents(self.connection, self.feed, child, context.load_id)
            self._refold_child(child, dump, context, size)
        return merged

    def out_of_order(self, dump: Dump, context: MergeContext, rows: Rows, replaces: Sequence[Dump]) -> fold.Merged:
        """Merge the stage at its place, and every later dump again for what that changes."""
        connection, feed = self.connection, self.feed
        chain.begin_scope(connection, feed)
        chain.touch_staged(connection, feed, context, again=dump.in_effect)
        if feed.snapshot and dump.approved_by is None:
            self._guard(*chain.count_absent(connection, feed, context))
        still = chain.known_conflicts(connection, feed, dump.dump_id) if dump.in_effect else 0
        for other in replaces:
            chain.touch_written_by(connection, feed, other.dump_id)
        size = chain.touched(connection)
        if size == 0:
            known = chain.keep_conflicts(connection, dump.dump_id, context.load_id) if still else {}
            verdicts = chain.stage_only_touched(connection, feed)
            read = sum(verdicts.values()) + still
            return fold.Merged(dump, context.load_id, RowCounts(read=read, quarantined=still, **verdicts), [], known)
        verdicts = {} if feed.unique else chain.stage_only_touched(connection, feed)
        first = min((dump, *replaces), key=lambda d: d.place)
        since = replace(context, dump_id=first.dump_id, stamp=first.stamp)
        done = self._refold(since, dump, rows, replaces, size, own_load_id=context.load_id)
        assert done.own is not None  # noqa: S101 - it was staged
        rest = RowCounts(read=sum(verdicts.values()), **verdicts)
        return replace(done.own, rows=done.own.rows + rest)

    def take_out(self, dump: Dump, context: MergeContext, revived: Dump | None, revived_rows: Rows | None) -> Rewound:
        """Rewind what a dump wrote, and merge later dumps, and the revived one, again."""
        chain.begin_scope(self.connection, self.feed)
        if revived is not None:
            at_its_place = replace(context, dump_id=revived.dump_id, stamp=revived.stamp)
            chain.touch_staged(self.connection, self.feed, at_its_place, again=False)
        chain.touch_written_by(self.connection, self.feed, dump.dump_id)
        size = chain.touched(self.connection)
        first = min((d for d in (dump, revived) if d is not None), key=lambda d: d.place)
        if revived is not None and not self.feed.unique:
            chain.stage_only_touched(self.connection, self.feed)
        since = replace(context, dump_id=first.dump_id, stamp=first.stamp)
        own_load_id = self.next_load_id() if revived else 0
        done = self._refold(since, revived, revived_rows, [dump], size, own_load_id=own_load_id)
        if done.own is not None:
            self._account(self.feed, done.own)
        return done.rewound

    def _refold(
        self,
        since: MergeContext,
        own: Dump | None,
        own_rows: Rows | None,
        without: Sequence[Dump],
        size: int,
        *,
        own_load_id: int,
    ) -> fold.Refolded:
        partial = not self.feed.unique
        for child in self.children:
            fold.note_empty_parents(self.connection, self.feed, child, since, when="before", partial=partial)
        done = fold.refold(
            self.connection, self.feed, since, own=own, own_rows=own_rows, own_load_id=own_load_id, without=without,
            frames=self.frames, next_load_id=self.next_load_id, size=size,
        )  # fmt: skip
        for later in done.later:
            self._account(self.feed, later)
        for child in self.children:
            fold.note_empty_parents(self.connection, self.feed, child, since, when="after", partial=partial)
        for child in self.children:
            touched = fold.touch_changed_parents(self.connection, child)
            self._refold_child(child, own or without[0], since, touched)
        return done

    def _refold_child(self, child: Feed, dump: Dump, context: MergeContext, size: int) -> None:
        """Merge a child's sets again whose parents say otherwise since a place of the parent."""
        if not size:
            return
        before = fold.rows_in_scope(self.connection, child)
        # At one time stamp a parent's dump comes before its children's: its number counts as 0.
        since = replace(context, dump_id=0, load_id=self.next_load_id())
        done = fold.refold(
            self.connection, child, since, own=None, without=(),
            frames=self.frames, next_load_id=self.next_load_id, size=size,
        )  # fmt: skip
        for later in done.later:
            self._account(child, later)
        gone = max(before - fold.rows_in_scope(self.connection, child), 0)
        if gone:
            self.removed[child.name] = gone
        if gone or done.later:
            self.audit(since.load_id, "cascade", child, dump, RowCounts(deleted=gone))

    def _account(self, feed: Feed, merged: fold.Merged) -> None:
        """Write down that a later dump was merged again, and what of it cannot be written now."""
        self.replayed += 1
        if feed.unique:
            apart.resolve_conflicts(self.connection, feed, merged.dump, self.at)
            batches = apart.conflict_batches(merged.conflicts, self.seal)
            apart.set_apart(self.connection, feed, merged.dump, merged.load_id, batches)
        self.audit(merged.load_id, "replay", feed, merged.dump, merged.rows)

    def _guard(self, deleted: int, stored: int) -> None:
        snapshot = self.feed.snapshot
        if snapshot is not None and not snapshot.allows(deleted=deleted, stored=stored):
            raise TooManyDeletedError(deleted=deleted, stored=stored)

    def audit(self, load_id: int, kind: str, feed: Feed, dump: Dump, counts: RowCounts, **others: int) -> None:
        """Append to the audit."""
        values: dict[str, object] = {
            "load_id": load_id,
            "kind": kind,
            "dump_id": dump.dump_id,
            "feed": feed.name,
            "run_id": self.run_id,
            "contract": feed.fingerprint,
            "seconds": Jsonb({**self.spent, **self.clock.so_far()} if kind in ("load", "reload") else {}),
            "started_at": self.started,
            "reason": self.reason,
            **others,
        }
        values |= {f"rows_{name}": count for name, count in counts.as_dict().items()}
        self.connection.execute(
            sql.SQL("insert into ops.load ({}) overriding system value values ({})").format(
                columns_sql(values), sql.SQL(", ").join(sql.Placeholder(name) for name in values)
            ),
            values,
        )


class _Clock:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._begun = time.perf_counter()

    def so_far(self) -> dict[str, float]:
        """By stage, and of the load until now."""
        return {**self.seconds, "load": round(time.perf_counter() - self._begun, 4)}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - begun, 4)


def lock_tables(connection: psycopg.Connection, feeds: Sequence[Feed]) -> None:
    """One load at a time per table; always in the order of names, so that two loads cannot wait for each other."""
    for name in sorted(feed.name for feed in feeds):
        connection.execute("select pg_advisory_xact_lock(526, hashtext(%s))", [name])


def _was_loaded(connection: psycopg.Connection, dump: Dump) -> bool:
    query = "select 1 from ops.load where dump_id = %s and kind <> 'cascade' limit 1"
    return connection.execute(query, [dump.dump_id]).fetchone() is not None
