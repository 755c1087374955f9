"""The ledger: every dump ever seen, and what became of it. The only memory of what is new.

Belongs here: reading and writing `ops.dump`. Does not belong here: bytes, rows of records, decisions about runs.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from claims_pipeline.vocabulary import OPEN_STATUSES, CheckOutcome, DumpStatus, DumpVerdict


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

    def __post_init__(self) -> None:
        object.__setattr__(self, "status", DumpStatus(self.status))
        object.__setattr__(self, "verdict", DumpVerdict(self.verdict) if self.verdict else None)

    @property
    def feed(self) -> str:
        """Its feed's name; "sender/?" for a dump that no contract knows."""
        return f"{self.sender}/{self.dataset or '?'}"

    @property
    def is_open(self) -> bool:
        """Whether work is left to do on it."""
        return self.status in OPEN_STATUSES


_ARRIVALS = """
insert into ops.dump
    (sender, dataset, bucket, key, etag, size_bytes, last_modified, delivery_day, stamp, status, verdict, reason)
select a.*, case when a.dataset is null then 'skipped' else 'arrived' end,
       case when a.dataset is null then 'unknown' end,
       case when a.dataset is null then 'no contract knows this name' else '' end
from unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[], %s::timestamptz[], %s::date[],
            %s::timestamptz[])
     as a (sender, dataset, bucket, key, etag, size_bytes, last_modified, delivery_day, stamp)
where not exists (
    select 1 from ops.dump d
    where (d.bucket, d.key, d.etag, d.size_bytes, d.last_modified)
        = (a.bucket, a.key, a.etag, a.size_bytes, a.last_modified))
order by a.stamp, a.key
on conflict do nothing
returning *
"""


def register(connection: psycopg.Connection, arrivals: Sequence[Arrival]) -> list[Dump]:
    """Add what the ledger has not seen; one statement for any number of arrivals.

    Returns:
        The dumps that are new to the ledger, those without a contract included (verdict `unknown`, skipped).
    """
    columns: list[list[Any]] = [
        [getattr(arrival, name) for arrival in arrivals] for name in Arrival.__dataclass_fields__
    ]
    with connection.cursor(row_factory=class_row(Dump)) as cursor:
        return cursor.execute(_ARRIVALS, columns).fetchall()


def recognise(connection: psycopg.Connection, arrival: Arrival) -> None:
    """Take up a dump that was unknown when it arrived, now that a contract knows its name."""
    connection.execute(
        "update ops.dump set dataset = %s, delivery_day = %s, stamp = %s, status = 'arrived', verdict = null,"
        " reason = '', settled_at = null where verdict = 'unknown' and (bucket, key, etag) = (%s, %s, %s)",
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
    """Dumps of a sender with work left, oldest stamp first."""
    return select(connection, "sender = %s and status = any(%s)", [sender, [s.value for s in OPEN_STATUSES]])


def unknown_dumps(connection: psycopg.Connection, sender: str) -> list[Dump]:
    """Dumps of a sender that no contract knew."""
    return select(connection, "sender = %s and verdict = 'unknown'", [sender])


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


def same_content(connection: psycopg.Connection, dump: Dump, sha256: str) -> tuple[DumpVerdict, int | None]:
    """The verdict on a dump by its bytes, and the earlier dump that it repeats or replaces.

    Dumps that failed, and those whose bytes were never read, do not count as earlier: they never were in a table.
    """
    earlier = select(
        connection,
        "dump_id <> %s and sender = %s and dataset is not distinct from %s and status <> 'failed'"
        " and sha256 is not null and (sha256 = %s or (bucket, key) = (%s, %s))",
        [dump.dump_id, dump.sender, dump.dataset, sha256, dump.bucket, dump.key],
    )
    earlier.sort(key=lambda d: d.dump_id)
    same_key = [d for d in earlier if d.key == dump.key and d.bucket == dump.bucket]
    if same_key and same_key[-1].sha256 == sha256:
        return DumpVerdict.RESENT, same_key[-1].dump_id
    same_bytes = [d for d in earlier if d.sha256 == sha256 and d not in same_key]
    if any(d.verdict is DumpVerdict.EMPTY for d in same_bytes):
        return DumpVerdict.EMPTY, None
    if same_bytes:
        return DumpVerdict.DUPLICATE, same_bytes[0].dump_id
    if same_key:
        return DumpVerdict.SUPERSEDING, same_key[-1].dump_id
    return DumpVerdict.NEW, None


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
        "update ops.dump set status = 'validated', validated_key = %s, contract = %s, validation = %s"
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


def approve(connection: psycopg.Connection, dump_id: int, by: str) -> None:
    """Release a held dump: the next run loads it whatever its budget."""
    connection.execute(
        f"update ops.dump set status = 'validated', approved_by = %s, verdict = {_AS_ARCHIVED}, reason = '',"  # noqa: S608
        " settled_at = null, attempts = 0 where dump_id = %s and verdict = 'held'",
        [by, dump_id],
    )


def reject(connection: psycopg.Connection, dump_id: int, by: str) -> None:
    """Refuse a held dump for good."""
    connection.execute(
        "update ops.dump set verdict = 'held', status = 'refused', reason = %s where dump_id = %s and verdict = 'held'",
        [f"rejected by {by}", dump_id],
    )


def reopen_failed(connection: psycopg.Connection, sender: str) -> int:
    """Give the failed dumps of a sender another chance, each from where it had come; returns how many."""
    return connection.execute(_REOPEN + "status = 'failed' and sender = %s", [sender]).rowcount


def reopen(connection: psycopg.Connection, dump_id: int) -> int:
    """Give one failed or refused dump another chance, as after a contract was mended; 0 when it is neither."""
    return connection.execute(_REOPEN + "dump_id = %s", [dump_id]).rowcount


_REOPEN = (
    "update ops.dump set attempts = 0, request_id = null, reason = '', settled_at = null, checks = '{}',"  # noqa: S608
    f" verdict = case when verdict in ('held', 'unreadable') then {_AS_ARCHIVED} else verdict end,"
    " status = case when archive_key is null then 'arrived' else 'archived' end"
    " where status in ('failed', 'refused') and "
)
