"""The ledger: every dump ever seen, and what became of it. The only memory of what is new.

Belongs here: reading and writing `ops.dump`. Does not belong here: bytes, rows of records, decisions about runs.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from claims_pipeline.vocabulary import OPEN_STATUSES, CheckOutcome, DumpStatus, DumpVerdict

Identity = tuple[str, str, str, int, dt.datetime]
"""Bucket, key, ETag, size, last modified."""

SEEN_ONCE = "seen once; read when a second look finds it unchanged"


@dataclass(frozen=True)
class Arrival:
    """An object seen in the inbox, with what its name says. `dataset` is None where no contract knows the name.

    `last_modified` and `stamp` are UTC; `delivery_day` is a date in the sender's time zone.
    """

    sender: str
    dataset: str | None
    bucket: str
    key: str
    etag: str
    size_bytes: int
    last_modified: dt.datetime
    delivery_day: dt.date
    stamp: dt.datetime

    @property
    def identity(self) -> Identity:
        """What tells one upload of a name from another, as far as a listing can."""
        return self.bucket, self.key, self.etag, self.size_bytes, self.last_modified


@dataclass(frozen=True)
class Dump:
    """A row of the ledger."""

    dump_id: int
    sender: str
    dataset: str | None
    bucket: str
    key: str
    etag: str
    size_bytes: int
    last_modified: dt.datetime
    version_id: str | None
    delivery_day: dt.date
    stamp: dt.datetime
    status: DumpStatus
    verdict: DumpVerdict | None
    reason: str
    sha256: str | None
    same_as: int | None
    archive_key: str | None
    validated_key: str | None
    contract: str | None
    validation: dict[str, Any] | None
    checks: dict[str, Any]
    approved_by: str | None
    attempts: int
    request_id: str | None
    requested_at: dt.datetime | None
    run_id: str | None
    arrived_at: dt.datetime
    settled_at: dt.datetime | None
    in_effect: bool
    loaded_key: str | None
    superseded_by: int | None
    seen_since: dt.datetime | None = None
    ready: bool = True
    raw_pruned_at: dt.datetime | None = None
    validated_pruned_at: dt.datetime | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "status", DumpStatus(self.status))
        object.__setattr__(self, "verdict", DumpVerdict(self.verdict) if self.verdict else None)

    @property
    def feed(self) -> str:
        """Its feed's name; "sender/?" for a dump that no contract knows."""
        return f"{self.sender}/{self.dataset or '?'}"

    @property
    def place(self) -> tuple[dt.datetime, int]:
        """Where it stands among the dumps of its feed: by time stamp, then by arrival."""
        return self.stamp, self.dump_id

    @property
    def identity(self) -> Identity:
        """The object that it was listed as; see `Arrival.identity`."""
        return self.bucket, self.key, self.etag, self.size_bytes, self.last_modified

    @property
    def is_open(self) -> bool:
        """Whether work is left to do on it."""
        return self.status in OPEN_STATUSES

    @property
    def pruned(self) -> str:
        """What retention has deleted of it, in words; empty when nothing."""
        if self.raw_pruned_at is not None:
            return f"its bytes were pruned on {self.raw_pruned_at:%Y-%m-%d} by retention, and cannot be read again"
        if self.validated_pruned_at is not None:
            when = f"{self.validated_pruned_at:%Y-%m-%d}"
            return f"its validated frames were pruned on {when} by retention; the raw bytes are kept"
        return ""


_LISTED = """unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[], %s::timestamptz[],
                       %s::date[], %s::timestamptz[])
     as a (sender, dataset, bucket, key, etag, size_bytes, last_modified, delivery_day, stamp)"""
_ARRIVALS = f"""
insert into ops.dump
    (sender, dataset, bucket, key, etag, size_bytes, last_modified, delivery_day, stamp, status, verdict, reason, ready)
select a.*, case when a.dataset is null then 'skipped' else 'arrived' end,
       case when a.dataset is null then 'unknown' end,
       case when a.dataset is null then 'no contract knows this name' when %s then '' else %s end, %s
from {_LISTED}
where not exists (
    select 1 from ops.dump d
    where (d.bucket, d.key, d.etag, d.size_bytes, d.last_modified)
        = (a.bucket, a.key, a.etag, a.size_bytes, a.last_modified))
order by a.stamp, a.key
on conflict do nothing
returning *
"""  # noqa: S608 - constants of this module
_CHANGED = f"""
update ops.dump d
set (etag, size_bytes, last_modified, delivery_day, stamp, seen_since)
    = (a.etag, a.size_bytes, a.last_modified, a.delivery_day, a.stamp, now()),
    status = case when d.dataset is null then 'skipped' else 'arrived' end, settled_at = null, attempts = 0,
    reason = case when d.dataset is null then 'no contract knows this name' else %s end
from {_LISTED}
where (d.bucket, d.key) = (a.bucket, a.key) and not d.ready and d.archive_key is null
  and ((d.etag, d.size_bytes, d.last_modified) <> (a.etag, a.size_bytes, a.last_modified) or d.status = 'failed')
  and not exists (
    select 1 from ops.dump o
    where o.dump_id <> d.dump_id and (o.bucket, o.key, o.etag, o.size_bytes, o.last_modified)
        = (a.bucket, a.key, a.etag, a.size_bytes, a.last_modified))
returning d.*
"""  # noqa: S608 - our own words


_CONFIRM = f"""
update ops.dump d set seen_since = least(d.seen_since, now() - make_interval(secs => %s))
from {_LISTED}
where (d.bucket, d.key, d.etag, d.size_bytes, d.last_modified)
    = (a.bucket, a.key, a.etag, a.size_bytes, a.last_modified)
  and not d.ready and d.status in ('arrived', 'skipped')
returning d.dump_id
"""  # noqa: S608 - our own words

_NOT_KEPT = f"""
select d.dump_id
from {_LISTED}
join ops.dump d on (d.bucket, d.key, d.etag, d.size_bytes, d.last_modified)
                 = (a.bucket, a.key, a.etag, a.size_bytes, a.last_modified)
where d.archive_key is null
"""  # noqa: S608 - our own words


def register(connection: psycopg.Connection, arrivals: Sequence[Arrival], *, ready: bool = True) -> list[Dump]:
    """Add what the ledger has not seen; one statement for any number of arrivals.

    Args:
        connection: to the ledger.
        arrivals: as listed.
        ready: whether they may be read at once; else `make_ready` says so later. An object of which an unread, unready
            row exists already is not added: see `changed`.

    Returns:
        The dumps that are new to the ledger, those without a contract included (verdict `unknown`, skipped).
    """
    with connection.cursor(row_factory=class_row(Dump)) as cursor:
        return cursor.execute(_ARRIVALS, [ready, SEEN_ONCE, ready, *_columns(arrivals)]).fetchall()


def changed(connection: psycopg.Connection, arrivals: Sequence[Arrival]) -> list[Dump]:
    """Bring rows up to date whose objects were never read: they grew since the last look, or had gone and are back.

    Returns:
        The dumps that are not as the last look saw them.
    """
    with connection.cursor(row_factory=class_row(Dump)) as cursor:
        return cursor.execute(_CHANGED, [SEEN_ONCE, *_columns(arrivals)]).fetchall()


def _columns(arrivals: Sequence[Arrival]) -> list[list[Any]]:
    return [[getattr(arrival, name) for arrival in arrivals] for name in Arrival.__dataclass_fields__]


def unread(connection: psycopg.Connection, sender: str, *, bucket: str, prefix: str) -> list[Dump]:
    """Dumps of an inbox that nothing was read of: open ones, and those not ready (also gone ones, which may return)."""
    return select(
        connection,
        "sender = %s and bucket = %s and starts_with(key, %s) and archive_key is null"
        " and (status = 'arrived' or not ready)",
        [sender, bucket, prefix],
    )


def settled(connection: psycopg.Connection, dump_ids: Sequence[int], *, seconds: float) -> list[Dump]:
    """Of unready dumps just seen again, those that have been as they are for so long, and those kept in the archive."""
    return select(
        connection,
        "dump_id = any(%s) and not ready and status in ('arrived', 'skipped')"
        " and (archive_key is not null or seen_since <= now() - make_interval(secs => %s))",
        [list(dump_ids), seconds],
    )


def make_ready(connection: psycopg.Connection, dump_ids: Sequence[int]) -> list[Dump]:
    """Let dumps be read from now on; returns those that were not ready before."""
    with connection.cursor(row_factory=class_row(Dump)) as cursor:
        return cursor.execute(
            "update ops.dump set ready = true, reason = case when dataset is null then reason else '' end"
            " where dump_id = any(%s) and not ready returning *",
            [list(dump_ids)],
        ).fetchall()


def confirm(connection: psycopg.Connection, arrivals: Sequence[Arrival], *, seconds: float) -> list[int]:
    """Let the time that uploads take to settle count as passed: S3 has told that these have ended.

    Args:
        connection: to the ledger.
        arrivals: as listed now, each with the size and ETag that S3's event told.
        seconds: that uploads take to settle.

    Returns:
        Numbers of those that are not ready.
    """
    return [dump_id for (dump_id,) in connection.execute(_CONFIRM.encode(), [seconds, *_columns(arrivals)]).fetchall()]


def backlog(connection: psycopg.Connection, sender: str) -> int:
    """How many dumps of a sender will be worked on without anything else having to happen."""
    query = "select count(*) from ops.dump where sender = %s and status = any(%s) and (ready or reason = %s)"
    row = connection.execute(query, [sender, [s.value for s in OPEN_STATUSES], SEEN_ONCE]).fetchone()
    return row[0] if row else 0


def wait(connection: psycopg.Connection, dump_id: int, *, reason: str) -> None:
    """Note what an unready dump waits for."""
    connection.execute(
        "update ops.dump set reason = %s where dump_id = %s and not ready and reason <> %s", [reason, dump_id, reason]
    )


def waiting(connection: psycopg.Connection, sender: str | None = None) -> list[Dump]:
    """Dumps that are not read yet, of one sender or of all, oldest stamp first; their reason says why."""
    return select(connection, "status = 'arrived' and not ready and sender = coalesce(%s::text, sender)", [sender])


def recognised(connection: psycopg.Connection, sender: str) -> list[int]:
    """Numbers of a sender's dumps that were kept while no contract knew them, and are not ready yet."""
    query = "select dump_id from ops.dump where sender = %s and status = 'arrived' and not ready and archive_key > ''"
    return [dump_id for (dump_id,) in connection.execute(query, [sender]).fetchall()]


def settling(connection: psycopg.Connection, sender: str, *, bucket: str, prefix: str, but: Sequence[int]) -> int:
    """How many dumps of an inbox were seen and may not be read yet; `but` are not counted."""
    query = (
        "select count(*) from ops.dump where sender = %s and bucket = %s and starts_with(key, %s)"
        " and archive_key is null and not ready and status <> 'failed' and dump_id <> all(%s)"
    )
    row = connection.execute(query, [sender, bucket, prefix, list(but)]).fetchone()
    return row[0] if row else 0


def gone(connection: psycopg.Connection, dump_id: int, *, reason: str) -> Dump:
    """Close an unread dump as failed, since its object is not in the inbox; it is taken up when it is listed again."""
    connection.execute(
        "update ops.dump d set status = 'failed', reason = %s, settled_at = now(),"
        " ready = exists (select 1 from ops.dump o where (o.bucket, o.key) = (d.bucket, d.key)"
        " and o.dump_id <> d.dump_id and not o.ready and o.archive_key is null)"
        " where dump_id = %s and archive_key is null and status in ('arrived', 'skipped')",
        [reason, dump_id],
    )
    return get(connection, dump_id)


def overwritten(connection: psycopg.Connection, dump_id: int, *, reason: str) -> Dump:
    """Close an unread dump as skipped, since the object of its name is another one now, with a row of its own."""
    connection.execute(
        "update ops.dump set status = 'skipped', ready = true, reason = %s, settled_at = now()"
        " where dump_id = %s and archive_key is null and status in ('arrived', 'skipped')",
        [reason, dump_id],
    )
    return get(connection, dump_id)


def recognise(connection: psycopg.Connection, arrival: Arrival) -> None:
    """Take up a dump that was unknown when it arrived, now that a contract knows its name; its sidecars are due."""
    connection.execute(
        "update ops.dump set dataset = %s, delivery_day = %s, stamp = %s, status = 'arrived', verdict = null,"
        " reason = '', settled_at = null, ready = ready and archive_key is null"
        " where verdict = 'unknown' and (bucket, key, etag) = (%s, %s, %s)",
        [arrival.dataset, arrival.delivery_day, arrival.stamp, arrival.bucket, arrival.key, arrival.etag],
    )


def select(connection: psycopg.Connection, where: str, parameters: Sequence[object] = ()) -> list[Dump]:
    """Dumps in order of their stamps. `where` is SQL of this code base, never of a user."""
    query = sql.SQL("select * from ops.dump where {} order by stamp, dump_id").format(sql.SQL(where))
    with connection.cursor(row_factory=class_row(Dump)) as cursor:
        return cursor.execute(query, parameters).fetchall()


def get(connection: psycopg.Connection, dump_id: int) -> Dump:
    """One dump by its number."""
    return select(connection, "dump_id = %s", [dump_id])[0]


def open_dumps(connection: psycopg.Connection, sender: str) -> list[Dump]:
    """Dumps of a sender with work left that may be read, oldest stamp first."""
    return select(connection, "sender = %s and status = any(%s) and ready", [sender, [s.value for s in OPEN_STATUSES]])


def unknown_dumps(connection: psycopg.Connection, sender: str) -> Iterator[list[Dump]]:
    """Dumps of a sender that no contract knew, a thousand at a time, by their numbers."""
    query = (
        "select * from ops.dump where sender = %s and verdict = 'unknown' and dump_id > %s order by dump_id limit 1000"
    )
    last = 0
    while True:
        with connection.cursor(row_factory=class_row(Dump)) as cursor:
            some = cursor.execute(query, [sender, last]).fetchall()
        if not some:
            return
        yield some
        last = some[-1].dump_id


def not_kept(connection: psycopg.Connection, arrivals: Sequence[Arrival]) -> list[int]:
    """Of listed objects that no contract knows, numbers of those that are not in the archive."""
    return [dump_id for (dump_id,) in connection.execute(_NOT_KEPT.encode(), _columns(arrivals)).fetchall()]


def to_keep(connection: psycopg.Connection, dump_ids: Sequence[int]) -> list[Dump]:
    """Of these dumps, those that no contract knows, that may be read, and that are not in the archive."""
    return select(
        connection, "dump_id = any(%s) and verdict = 'unknown' and ready and archive_key is null", [list(dump_ids)]
    )


def dumps_of(connection: psycopg.Connection, sender: str, dataset: str, days: Iterable[dt.date]) -> list[Dump]:
    """All dumps of a feed's delivery days, oldest stamp first."""
    return select(connection, "sender = %s and dataset = %s and delivery_day = any(%s)", [sender, dataset, list(days)])


def find(connection: psycopg.Connection, file: str) -> list[Dump]:
    """Dumps by whole key, by the end of the key (file name), or by number."""
    if file.isdecimal():
        return select(connection, "dump_id = %s", [int(file)])
    return select(connection, "key = %s or right(key, length(%s) + 1) = '/' || %s", [file, file, file])


def request(connection: psycopg.Connection, dump_ids: Sequence[int], request_id: str) -> None:
    """Note that a run was asked for, and count the attempt."""
    connection.execute(
        "update ops.dump set attempts = attempts + 1, request_id = %s, requested_at = now() where dump_id = any(%s)",
        [request_id, list(dump_ids)],
    )


def is_still(connection: psycopg.Connection, dump: Dump) -> bool:
    """Whether the dump is as far as it was when it was read, and stays so until the transaction ends.

    A process that was suspended for a while must not write what it knew then over what another has done since.
    """
    query = "select status from ops.dump where dump_id = %s for no key update"
    return connection.execute(query, [dump.dump_id]).fetchone() == (dump.status.value,)


def archived(
    connection: psycopg.Connection,
    dump: Dump,
    *,
    sha256: str,
    version_id: str | None,
    archive_key: str,
    verdict: DumpVerdict,
    same_as: int | None,
    run_id: str,
) -> None:
    """Record that the dump's bytes are archived and what they are."""
    connection.execute(
        "update ops.dump set status = 'archived', sha256 = %s, version_id = %s, archive_key = %s, verdict = %s,"
        " same_as = %s, run_id = %s where dump_id = %s",
        [sha256, version_id, archive_key, verdict, same_as, run_id, dump.dump_id],
    )


def validated(
    connection: psycopg.Connection, dump: Dump, *, validated_key: str, contract: str, validation: dict[str, Any]
) -> None:
    """Record that the dump's validated frames are written."""
    connection.execute(
        "update ops.dump set status = 'validated', validated_key = %s, contract = %s, validation = %s,"
        " validated_pruned_at = null"
        " where dump_id = %s",
        [validated_key, contract, Jsonb(validation), dump.dump_id],
    )


def record_check(connection: psycopg.Connection, dump_id: int, outcome: CheckOutcome) -> None:
    """Keep the result of a check with the dump; the latest of each name stays."""
    body = {k: v for k, v in asdict(outcome).items() if k != "name"}
    connection.execute(
        "update ops.dump set checks = checks || %s where dump_id = %s", [Jsonb({outcome.name.value: body}), dump_id]
    )


def kept(connection: psycopg.Connection, dump_id: int, *, archive_key: str) -> None:
    """Note where an unknown dump is kept. Its SHA-256 is taken when it is archived under its own feed."""
    connection.execute("update ops.dump set archive_key = %s where dump_id = %s", [archive_key, dump_id])


def touch(connection: psycopg.Connection, dump_id: int, run_id: str) -> None:
    """Note which run has the dump in hand."""
    connection.execute("update ops.dump set run_id = %s where dump_id = %s", [run_id, dump_id])


def settle(
    connection: psycopg.Connection,
    dump_id: int,
    status: DumpStatus,
    *,
    verdict: DumpVerdict | None = None,
    reason: str = "",
) -> None:
    """Close a dump: loaded, skipped, refused or failed; `reason` is for people and holds no value of a record."""
    connection.execute(
        "update ops.dump set status = %s, verdict = coalesce(%s, verdict), reason = %s, settled_at = now()"
        " where dump_id = %s",
        [status, verdict, reason, dump_id],
    )


_AS_ARCHIVED = "case when same_as is null then 'new' else 'superseding' end"


def approve(connection: psycopg.Connection, dump_id: int, by: str) -> bool:
    """Release a held dump: the next run loads it whatever its budget; False when it is not held."""
    cursor = connection.execute(
        f"update ops.dump set status = 'validated', approved_by = %s, verdict = {_AS_ARCHIVED}, reason = '',"  # noqa: S608 - our own words
        " settled_at = null, attempts = 0 where dump_id = %s and verdict = 'held'",
        [by, dump_id],
    )
    return cursor.rowcount == 1


def reject(connection: psycopg.Connection, dump_id: int, by: str, reason: str = "") -> bool:
    """Refuse a held dump for good; False when it is not held."""
    cursor = connection.execute(
        "update ops.dump set verdict = 'held', status = 'refused', reason = %s where dump_id = %s and verdict = 'held'",
        [f"rejected by {by}{f': {reason}' if reason else ''}", dump_id],
    )
    return cursor.rowcount == 1


def note_decision(
    connection: psycopg.Connection, dump_id: int, *, what: str, by: str, reason: str, at: dt.datetime
) -> None:
    """Append a person's decision about a dump; until the transaction ends, no other is noted about this dump."""
    connection.execute("select pg_advisory_xact_lock(527, hashint8(%s))", [dump_id])
    connection.execute(
        "insert into ops.decision (dump_id, what, decided_by, reason, decided_at) values (%s, %s, %s, %s, %s)",
        [dump_id, what, by, reason, at],
    )


def reopen_failed(connection: psycopg.Connection, sender: str) -> int:
    """Give the failed dumps of a sender another chance, each from where it had come; returns how many.

    Those that failed because their objects are gone get theirs when they are listed again.
    """
    return connection.execute(_REOPEN + "status = 'failed' and ready and sender = %s", [sender]).rowcount


def reopen(connection: psycopg.Connection, dump_id: int) -> int:
    """Give one failed or refused dump another chance, as after a contract was mended; 0 when it is neither."""
    return connection.execute(_REOPEN + "dump_id = %s", [dump_id]).rowcount


def forget_attempts(connection: psycopg.Connection, dump_id: int) -> None:
    """Let the sensor finish the dump, should what a person has begun with it break off."""
    connection.execute("update ops.dump set attempts = 0 where dump_id = %s", [dump_id])


_REOPEN = (
    "update ops.dump set attempts = 0, request_id = null, reason = '', settled_at = null, checks = '{}',"  # noqa: S608 - our own words
    f" verdict = case when verdict in ('held', 'unreadable') then {_AS_ARCHIVED} else verdict end,"
    " status = case when archive_key is null then 'arrived' else 'archived' end"
    " where status in ('failed', 'refused') and raw_pruned_at is null and "
)


def skip_numbers(connection: psycopg.Connection, count: int) -> None:
    """Leave out so many numbers of dumps, as after a restore: lost dumps have used some in keys of the archive."""
    connection.execute(
        "select setval(s, nextval(s) + %s) from pg_get_serial_sequence('ops.dump', 'dump_id') as s", [count]
    )
