"""The database's side of a rebuild: which database may take one, entering dumps under their own numbers, the records.

Belongs here: SQL on `ops.rebuild`, and on `ops.dump` where a rebuild writes what the archive knows. Does not belong
here: reading the archive, the steps of a dump, the comparison (compare.py).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from claims_pipeline.errors import ClaimsPipelineError
from claims_pipeline.warehouse import ledger
from claims_pipeline.warehouse.compare import Difference
from claims_pipeline.warehouse.fingerprint import user_tables


@dataclass(frozen=True)
class Entry:
    """A dump as its manifest in the archive tells; times UTC, `delivery_day` in the sender's time zone."""

    dump_id: int
    sender: str
    dataset: str | None
    bucket: str
    key: str
    etag: str
    version_id: str | None
    size_bytes: int
    last_modified: dt.datetime
    delivery_day: dt.date
    stamp: dt.datetime
    arrived_at: dt.datetime
    archive_key: str


@dataclass(frozen=True)
class Begun:
    """A rebuild that this database holds.

    Attributes:
        feeds: names of its feeds.
        archive: bucket that it is made from.
        frames: folder there with its frames.
        finished: whether it was ended.
    """

    feeds: tuple[str, ...]
    archive: str
    frames: str
    finished: bool


def begun(connection: psycopg.Connection) -> Begun | None:
    """The rebuild in this database, to be gone on with; None when it is empty.

    Raises:
        ClaimsPipelineError: it holds tables that no rebuild made; nothing was changed.
    """
    if not user_tables(connection):
        return None
    found = connection.execute("select to_regclass('ops.rebuild')").fetchone()
    row = None
    if found != (None,):
        row = connection.execute(
            "select feeds, archive, frames, exists (select 1 from ops.rebuild f where f.kind = 'finished')"
            " from ops.rebuild where kind = 'begun' order by rebuild_id limit 1"
        ).fetchone()
    if row is None:
        raise ClaimsPipelineError(
            "the database is not empty: a rebuild goes into a database of its own. Create one (`createdb`) and name it"
        )
    return Begun(tuple(row[0]), row[1], row[2], row[3])


def note_begun(connection: psycopg.Connection, *, feeds: Sequence[str], archive: str, frames: str, run_id: str) -> None:
    """Mark the database as one that a rebuild makes."""
    connection.execute(
        "insert into ops.rebuild (kind, feeds, archive, frames, run_id) values ('begun', %s, %s, %s, %s)",
        [list(feeds), archive, frames, run_id],
    )


def note_finished(connection: psycopg.Connection, *, frames: str, run_id: str) -> None:
    """End the rebuild: its frames are about to go, and the ledger names the archive's own, of the same content."""
    with connection.transaction():
        for column in (sql.Identifier("validated_key"), sql.Identifier("loaded_key")):
            connection.execute(
                sql.SQL("update ops.dump set {0} = substr({0}, length(%s) + 1) where starts_with({0}, %s)").format(
                    column
                ),
                [frames, frames],
            )
        connection.execute(
            "insert into ops.rebuild (kind, feeds, archive, dumps, run_id)"
            " select 'finished', feeds, archive, (select count(*) from ops.dump), %s"
            " from ops.rebuild where kind = 'begun' order by rebuild_id limit 1",
            [run_id],
        )


_COLUMNS = tuple(Entry.__dataclass_fields__)


def enter(connection: psycopg.Connection, entries: Sequence[Entry]) -> None:
    """Enter dumps into the ledger under their own numbers; later ones will get higher numbers. Idempotent.

    Dumps without a contract are settled as they were; the others have arrived, with their bytes in the archive.
    """
    query = sql.SQL(
        "insert into ops.dump ({columns}, status, verdict, reason) overriding system value"
        " values ({values}, case when %(dataset)s::text is null then 'skipped' else 'arrived' end,"
        " case when %(dataset)s::text is null then 'unknown' end,"
        " case when %(dataset)s::text is null then 'no contract knows this name' else '' end) on conflict do nothing"
    ).format(
        columns=sql.SQL(", ").join(map(sql.Identifier, _COLUMNS)),
        values=sql.SQL(", ").join(map(sql.Placeholder, _COLUMNS)),
    )
    with connection.transaction():
        with connection.cursor() as cursor:
            cursor.executemany(query, [asdict(entry) for entry in entries])
        connection.execute(
            "select setval(pg_get_serial_sequence('ops.dump', 'dump_id'), greatest(max(dump_id), 1)) from ops.dump"
        )


def is_noted(connection: psycopg.Connection, dump_id: int, *, what: str, at: dt.datetime) -> bool:
    """Whether a decision is noted in this database."""
    query = "select 1 from ops.decision where (dump_id, what, decided_at) = (%s, %s, %s)"
    return connection.execute(query, [dump_id, what, at]).fetchone() is not None


def note_decision(
    connection: psycopg.Connection, dump_id: int, *, what: str, by: str, reason: str, at: dt.datetime
) -> None:
    """Note a decision of the archive as it was, once."""
    if not is_noted(connection, dump_id, what=what, at=at):
        ledger.note_decision(connection, dump_id, what=what, by=by, reason=reason, at=at)


def rows_of(connection: psycopg.Connection, tables: Sequence[str]) -> int:
    """Rows of tables ("schema.table"), counted."""
    total = 0
    for table in tables:
        query = sql.SQL("select count(*) from {}").format(sql.Identifier(*table.split(".")))
        row = connection.execute(query).fetchone()
        total += int(row[0]) if row else 0
    return total


# ---------------------------------------------------------------------------------------------- drills


@dataclass(frozen=True)
class Candidate:
    """A feed that a drill could rebuild.

    Attributes:
        feed: its name.
        raw_bytes: of its dumps in the archive.
        pruned: whether retention has deleted the bytes of a dump that is in effect.
        drilled_at: when it was drilled last, UTC; None for never.
    """

    feed: str
    raw_bytes: int
    pruned: bool
    drilled_at: dt.datetime | None


def candidates(connection: psycopg.Connection) -> list[Candidate]:
    """Feeds with dumps in effect."""
    rows = connection.execute(
        "select d.feed, d.raw_bytes, d.pruned, max(r.noted_at) from ("
        "  select sender || '/' || dataset as feed, sum(size_bytes)::bigint as raw_bytes,"
        "   bool_or(in_effect and raw_pruned_at is not null) as pruned"
        "  from ops.dump where dataset is not null and archive_key is not null group by 1 having bool_or(in_effect)) d"
        " left join ops.rebuild r on r.kind = 'drill' and d.feed = any(r.feeds) group by 1, 2, 3 order by 1"
    )
    return [Candidate(*row) for row in rows]


def note_drill(
    connection: psycopg.Connection,
    *,
    feeds: Collection[str],
    archive: str,
    dumps: int,
    rows: int,
    differences: Sequence[Difference],
    seconds: float,
    run_id: str,
) -> None:
    """Append the record of a drill."""
    connection.execute(
        "insert into ops.rebuild (kind, feeds, archive, dumps, rows, passed, differences, seconds, run_id)"
        " values ('drill', %s, %s, %s, %s, %s, %s, %s, %s)",
        [
            sorted(feeds), archive, dumps, rows, not differences, Jsonb([asdict(d) for d in differences]), seconds,
            run_id,
        ],
    )  # fmt: skip
