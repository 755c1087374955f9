"""Which dumps are in effect: what a dump is beside the others, and who takes whose place.

Belongs here: the verdict by content, the decision under the lock, and its notes in the ledger. Does not belong here:
other columns of the ledger (ledger.py), and what tables become of it (fold.py).

Of one name, and time stamp, the last dump that arrived counts; of one content the one with the earliest place. So the
dumps in effect are a function of those that arrived, and of what persons have undone.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import psycopg

from claims_pipeline.vocabulary import DumpStatus, DumpVerdict
from claims_pipeline.warehouse.ledger import Dump, select, settle


def same_content(
    connection: psycopg.Connection, dump: Dump, sha256: str, *, snapshot: bool = False
) -> tuple[DumpVerdict, int | None]:
    """The verdict on a dump by its bytes, and the earlier dump that it repeats or replaces.

    Of dumps with the same bytes under several names the one with the earliest place counts, whichever came first, so
    that the order of arrival decides nothing. A snapshot says what the table is at its own time, so none is a
    duplicate. A name that comes with another time stamp (of its arrival) is another dump, not a corrected one.
    Dumps that failed or were undone, and those whose bytes were never read, are no earlier ones.

    Args:
        connection: to the ledger.
        dump: the dump whose bytes were read.
        sha256: of the bytes, hex.
        snapshot: whether each dump of the feed is the whole table.
    """
    earlier = select(
        connection,
        "dump_id <> %s and sender = %s and dataset is not distinct from %s and status not in ('failed', 'undone')"
        " and sha256 is not null and (sha256 = %s or (bucket, key) = (%s, %s))",
        [dump.dump_id, dump.sender, dump.dataset, sha256, dump.bucket, dump.key],
    )
    earlier.sort(key=lambda d: d.dump_id)
    same_key = [d for d in earlier if _same_name(d, dump)]
    if same_key and same_key[-1].sha256 == sha256:
        return DumpVerdict.RESENT, same_key[-1].dump_id
    same_bytes = [d for d in earlier if d.sha256 == sha256 and d not in same_key]
    if any(d.verdict is DumpVerdict.EMPTY for d in same_bytes):
        return DumpVerdict.EMPTY, None
    before = sorted((d for d in same_bytes if d.place < dump.place), key=lambda d: d.place)
    if before and not snapshot:
        return DumpVerdict.DUPLICATE, before[0].dump_id
    if same_key:
        return DumpVerdict.SUPERSEDING, same_key[-1].dump_id
    return DumpVerdict.NEW, None


def in_effect_since(
    connection: psycopg.Connection, sender: str, dataset: str, stamp: dt.datetime, dump_id: int
) -> list[Dump]:
    """Dumps of a feed in effect from a place on, in order. A place is (stamp, dump number)."""
    return select(
        connection,
        "in_effect and sender = %s and dataset = %s and (stamp, dump_id) >= (%s, %s)",
        [sender, dataset, stamp, dump_id],
    )


@dataclass(frozen=True)
class Standing:
    """What the dumps in effect mean for one that is about to be loaded.

    Attributes:
        yields_to: the dump that stands for it, so that it is not loaded; None when it is.
        replaces: dumps in effect that it takes the place of.
    """

    yields_to: Dump | None
    replaces: tuple[Dump, ...]


def standing(connection: psycopg.Connection, dump: Dump, *, snapshot: bool) -> Standing:
    """Decide, under the lock of the feed's table, whether a dump counts and which others do no longer.

    Of one name (and stamp) the last that arrived counts, of one content the one with the earliest place.
    """
    others = select(
        connection,
        "in_effect and dump_id <> %s and sender = %s and dataset = %s"
        " and (sha256 = %s or (bucket, key, stamp) = (%s, %s, %s))",
        [dump.dump_id, dump.sender, dump.dataset, dump.sha256, dump.bucket, dump.key, dump.stamp],
    )
    same_name = [d for d in others if _same_name(d, dump)]
    same_bytes = [d for d in others if d not in same_name and not snapshot]
    stands = [d for d in same_name if d.dump_id > dump.dump_id] + [d for d in same_bytes if d.place < dump.place]
    if stands:
        return Standing(stands[0], ())
    return Standing(None, (*same_name, *same_bytes))


def _same_name(one: Dump, other: Dump) -> bool:
    """Whether one dump corrects the other; a name with another time stamp, of its arrival, is another dump's."""
    return (one.bucket, one.key, one.stamp) == (other.bucket, other.key, other.stamp)


def take_effect(connection: psycopg.Connection, dump_id: int) -> None:
    """Close a dump as loaded: its validated frames are in effect."""
    connection.execute(
        "update ops.dump set status = 'loaded', reason = '', settled_at = now(), in_effect = true,"
        " loaded_key = validated_key, superseded_by = null where dump_id = %s",
        [dump_id],
    )


def give_way(connection: psycopg.Connection, dump: Dump, to: Dump) -> None:
    """Close a dump that is not loaded, because one in effect has its name and came later, or has its bytes."""
    if dump.superseded_by is not None:  # it was loaded once, and would be again if the other were undone
        settle(
            connection, dump.dump_id, DumpStatus.SUPERSEDED, reason=f"dump {to.dump_id} has its name, and came later"
        )
    elif _same_name(dump, to):
        settle(connection, dump.dump_id, DumpStatus.SKIPPED, reason=f"dump {to.dump_id} has its name, and came later")
    else:
        reason = f"the same bytes as dump {to.dump_id}"
        settle(connection, dump.dump_id, DumpStatus.SKIPPED, verdict=DumpVerdict.DUPLICATE, reason=reason)


def step_aside(connection: psycopg.Connection, dump: Dump, by: Dump, at: dt.datetime) -> None:
    """Note that another dump took the place of one that was in effect: of its name, or of its bytes."""
    if not _same_name(dump, by):
        change = "status = 'skipped', verdict = 'duplicate', same_as = %(by)s"
        reason = f"the same bytes as dump {by.dump_id}, which is the earlier one"
    else:
        change = "status = 'superseded'"
        reason = f"dump {by.dump_id} has its name and took its place"
    connection.execute(
        f"update ops.dump set {change}, reason = %(reason)s, in_effect = false, superseded_by = %(by)s,"  # noqa: S608 - our own words
        " settled_at = %(at)s where dump_id = %(dump_id)s",
        {"by": by.dump_id, "reason": reason, "at": at, "dump_id": dump.dump_id},
    )


def undone(connection: psycopg.Connection, dump_id: int, *, reason: str, at: dt.datetime) -> None:
    """Note that a person took a dump out; `reason` names who and why."""
    connection.execute(
        "update ops.dump set status = 'undone', in_effect = false, reason = %s, settled_at = %s where dump_id = %s",
        [reason, at, dump_id],
    )


def reopen_undone(connection: psycopg.Connection, dump_id: int) -> None:
    """Let a dump that was undone be loaded again from where it is archived."""
    connection.execute(
        "update ops.dump set status = 'archived', reason = '', settled_at = null, attempts = 0, request_id = null"
        " where dump_id = %s and status = 'undone'",
        [dump_id],
    )


def revived(connection: psycopg.Connection, dump_id: int, *, reason: str) -> None:
    """Note that a superseded dump is in effect again, since its successor was undone."""
    connection.execute(
        "update ops.dump set status = 'loaded', in_effect = true, superseded_by = null, reason = %s,"
        " settled_at = now() where dump_id = %s",
        [reason, dump_id],
    )


def superseded_by(connection: psycopg.Connection, dump_id: int) -> Dump | None:
    """The dump that a superseding one took the place of last; None when there is none."""
    found = select(connection, "superseded_by = %s and status = 'superseded'", [dump_id])
    return max(found, key=lambda d: d.dump_id, default=None)
