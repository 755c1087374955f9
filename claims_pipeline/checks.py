"""The checks as pure functions: figures in, a `CheckOutcome` out. Dagster, the CLI and the messages show the same ones.

Belongs here: how each check decides. Does not belong here: getting the figures, declaring checks to Dagster.
"""

from __future__ import annotations

import datetime as dt
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from claims_pipeline.feeds import Feed
from claims_pipeline.feeds.contract import Snapshot
from claims_pipeline.feeds.drift import Change
from claims_pipeline.vocabulary import CheckName, CheckOutcome, RowCounts

ENOUGH_PAST = 3
"""Loads that a feed must have before its volume can be judged."""


def intact(
    *, listed: int, archived: int, sha256: str, known_sha256: str | None = None, seconds: float | None = None
) -> CheckOutcome:
    """Whether the archive holds the bytes that were delivered.

    Args:
        listed: bytes as the inbox listed them.
        archived: bytes read and stored.
        sha256: of the bytes read.
        known_sha256: what the ledger has from before, when the dump was archived earlier.
        seconds: that archiving took; None when nothing was archived now.
    """
    same = known_sha256 in (None, sha256)
    passed = listed == archived and same
    summary = f"{archived:,} bytes archived, {listed:,} delivered"
    if not same:
        summary = "the archived bytes are not those that were archived first: the raw archive was changed"
    figures: dict[str, Any] = {"bytes_delivered": listed, "bytes_archived": archived, "sha256": sha256}
    if seconds is not None:
        figures["seconds"] = round(seconds, 4)
    return CheckOutcome(CheckName.INTACT, passed, summary, figures)


def not_intact(rule: str, message: str) -> CheckOutcome:
    """A dump whose bytes are not those that its sender promises."""
    return CheckOutcome(CheckName.INTACT, passed=False, summary=message, figures={"rule": rule})


def contract_refused(rule: str, message: str) -> CheckOutcome:
    """A dump that its contract refuses."""
    return CheckOutcome(CheckName.CONTRACT, passed=False, summary=message, figures={"rule": rule})


def contract(*, columns: int, changes: Sequence[Change]) -> CheckOutcome:
    """Whether the dump's columns are those of the contract and of the feed's previous dump.

    Optional columns that never came are no drift; a column that came and no longer does is. Another order or another
    physical type is told and passes: names decide which column is which, and each value is cast by the contract.

    Args:
        columns: how many the dump holds.
        changes: how they differ, by name.
    """
    lines = [change.text for change in changes]
    figures: dict[str, int | float | str] = {"columns": columns, "drift": "; ".join(lines)}
    summary = f"{columns} columns as in the contract" if not lines else "; ".join(lines)
    passed = not any(change.moves for change in changes)
    return CheckOutcome(CheckName.CONTRACT, passed, summary, figures, "warn")


def rejects_within_budget(feed: Feed, *, read: int, rejects: Mapping[str, int], rejected: int) -> CheckOutcome:
    """Whether the rows that broke a rule are within the feed's budget."""
    budget = feed.budget
    allowed = int(max(budget.rows, budget.share * read))
    passed = budget.allows(rejected=rejected, read=read)
    top = ", ".join(f"{rule}: {count:,}" for rule, count in sorted(rejects.items(), key=lambda item: -item[1])[:5])
    summary = f"{rejected:,} of {read:,} rows rejected, {allowed:,} allowed" + (f" ({top})" if top else "")
    figures: dict[str, int | float | str] = {"rejected": rejected, "read": read, "allowed": allowed}
    return CheckOutcome(CheckName.REJECTS_WITHIN_BUDGET, passed, summary, figures)


def row_conservation(rows: RowCounts) -> CheckOutcome:
    """Whether every row read got exactly one verdict."""
    summary = f"{rows.read:,} rows read, {rows.accounted:,} accounted for"
    return CheckOutcome(CheckName.ROW_CONSERVATION, rows.conserved, summary, dict(rows.as_dict()))


def key_unique(*, duplicates: int, conflicts: Mapping[str, int]) -> CheckOutcome:
    """Whether the dump named each key once, and no unique value belongs to two keys."""
    clashes = sum(conflicts.values())
    summary = f"{duplicates:,} rows repeat a key (the newest is kept), {clashes:,} claim another row's unique value"
    figures: dict[str, int | float | str] = {"duplicate_rows": duplicates, **conflicts}
    return CheckOutcome(CheckName.KEY_UNIQUE, duplicates + clashes == 0, summary, figures, "warn")


def volume_in_range(*, read: int, past: Sequence[int], tolerance: float) -> CheckOutcome:
    """Whether the dump's rows are in the range of its own past.

    Args:
        read: rows of this dump.
        past: rows of the feed's last dumps.
        tolerance: between 1/x and x times the median of the past is in range.
    """
    if len(past) < ENOUGH_PAST:
        figures: dict[str, int | float | str] = {"rows": read, "past_dumps": len(past)}
        summary = f"{read:,} rows; too few earlier dumps to compare ({len(past)})"
        return CheckOutcome(CheckName.VOLUME_IN_RANGE, True, summary, figures, "warn")
    median = statistics.median(past)
    low, high = median / tolerance, median * tolerance
    figures = {"rows": read, "median": median, "low": round(low, 1), "high": round(high, 1), "past_dumps": len(past)}
    summary = f"{read:,} rows; the last {len(past)} dumps had {median:,.0f} in the median"
    return CheckOutcome(CheckName.VOLUME_IN_RANGE, low <= read <= high, summary, figures, "warn")


def snapshot_complete(snapshot: Snapshot, *, read: int, past: Sequence[int]) -> CheckOutcome:
    """Whether a snapshot is as long as its past lets expect: a dump cut short would delete what it lacks.

    Args:
        snapshot: what the contract asks.
        read: rows of this dump.
        past: rows of the feed's last dumps.
    """
    name = CheckName.DELETIONS_WITHIN_BUDGET
    if len(past) < ENOUGH_PAST:
        return CheckOutcome(name, True, f"{read:,} rows; too few earlier dumps to compare", {"rows": read})
    median = statistics.median(past)
    least = snapshot.shortest * median
    figures: dict[str, int | float | str] = {"rows": read, "median": median, "least": round(least, 1)}
    summary = f"the snapshot has {read:,} rows; the last {len(past)} had {median:,.0f} in the median"
    return CheckOutcome(name, read >= least, summary, figures)


def deletions_within_budget(feed: Feed, *, deleted: int, stored: int) -> CheckOutcome:
    """Whether a snapshot may delete the rows that it lacks.

    Args:
        feed: the contract; one of snapshots.
        deleted: rows of the table that the dump lacks.
        stored: rows of the table.
    """
    snapshot = feed.snapshot or Snapshot()
    allowed = int(max(snapshot.least_deleted, snapshot.most_deleted * stored))
    figures: dict[str, int | float | str] = {"deleted": deleted, "stored": stored, "allowed": allowed}
    summary = f"the snapshot lacks {deleted:,} of the table's {stored:,} rows, {allowed:,} allowed"
    passed = snapshot.allows(deleted=deleted, stored=stored)
    return CheckOutcome(CheckName.DELETIONS_WITHIN_BUDGET, passed, summary, figures)


def days_due(feed: Feed, *, now: dt.datetime, lookback: int) -> list[dt.date]:
    """Delivery days whose dump should have arrived by now, oldest first.

    Args:
        feed: whose calendar counts, grace included.
        now: aware.
        lookback: how many days to look back.
    """
    calendar, zone = feed.deliveries, ZoneInfo(feed.sender.timezone)
    last = now.astimezone(zone).date()
    while calendar.deadline(last, zone) > now:
        last -= dt.timedelta(days=1)
    days = [last - dt.timedelta(days=back) for back in range(lookback)]
    return sorted(day for day in days if day >= feed.sender.start and calendar.expects(day))


def fresh(feed: Feed, *, now: dt.datetime, last_loaded_day: dt.date | None) -> CheckOutcome:
    """Whether the newest day that the feed's calendar expects is in the table.

    Args:
        feed: the feed.
        now: aware.
        last_loaded_day: newest delivery day loaded; None when there is none.
    """
    due = days_due(feed, now=now, lookback=14)
    expected = due[-1] if due else None
    behind = sum(1 for day in due if last_loaded_day is None or day > last_loaded_day)
    passed = behind == 0
    have = last_loaded_day.isoformat() if last_loaded_day else "nothing"
    by = f"{feed.deliveries.due:%H:%M} {feed.sender.timezone}"
    summary = f"loaded up to {have}; {expected or 'nothing'} was due by {by}"
    figures: dict[str, int | float | str] = {
        "last_loaded_day": have,
        "expected_day": str(expected),
        "days_behind": behind,
    }
    return CheckOutcome(CheckName.FRESH, passed, summary, figures)


def restore_equals_backup(
    *, stamp: dt.datetime, tables: int, rows: int, differences: str, now: dt.datetime, most_age: dt.timedelta
) -> CheckOutcome:
    """Whether the newest backup, restored, is what it was made from, and new enough.

    Args:
        stamp: when the backup was begun; aware.
        tables: that were compared.
        rows: in them.
        differences: which tables differ, by name and count; empty where none does.
        now: aware.
        most_age: beyond which the newest backup is too old.
    """
    age = now - stamp
    figures: dict[str, int | float | str] = {
        "backup": stamp.isoformat(),
        "age_hours": round(age.total_seconds() / 3600, 1),
        "tables": tables,
        "rows": rows,
    }
    summary = f"{tables:,} tables with {rows:,} rows restored as they were backed up"
    if differences:
        summary, figures["different"] = differences, differences
    elif age > most_age:
        summary = f"the newest backup is {age.days} days old"
    passed = not differences and age <= most_age
    return CheckOutcome(CheckName.RESTORE_EQUALS_BACKUP, passed, summary, figures)


def restore_failed(message: str) -> CheckOutcome:
    """A drill that did not come to a comparison: no backup, a damaged one, or one that cannot be restored."""
    return CheckOutcome(CheckName.RESTORE_EQUALS_BACKUP, passed=False, summary=message)


def rebuild_equals_table(*, feeds: Sequence[str], tables: int, rows: int, differences: str) -> CheckOutcome:
    """Whether tables that were made again from the raw archive are the live ones.

    Args:
        feeds: names of those that were made again.
        tables: that were compared, histories included.
        rows: in the feeds' tables.
        differences: which tables differ, by name and count; empty where none does.
    """
    figures: dict[str, int | float | str] = {"feeds": ", ".join(feeds), "tables": tables, "rows": rows}
    summary = f"{tables:,} tables and histories of {', '.join(feeds)}, made again, are the live ones"
    if not feeds:
        summary = "no dump is in effect yet: there is nothing to make again"
    if differences:
        summary, figures["different"] = differences, differences
    return CheckOutcome(CheckName.REBUILD_EQUALS_TABLE, not differences, summary, figures)


def rebuild_failed(message: str) -> CheckOutcome:
    """A drill that did not come to a comparison."""
    return CheckOutcome(CheckName.REBUILD_EQUALS_TABLE, passed=False, summary=message)


def audit_unbroken(unbroken: bool, summary: str, *, entries: int) -> CheckOutcome:
    """Whether the audit's hash chains hold.

    Args:
        unbroken: whether they do.
        summary: which entry is not what was written, or how many are.
        entries: whose links hold.
    """
    return CheckOutcome(CheckName.AUDIT_UNBROKEN, unbroken, summary, {"entries": entries})


def small_groups_merged(*, parts: int, merged: int, least: int | None, smallest: int) -> CheckOutcome:
    """Whether every row of a report tells of enough persons.

    Args:
        parts: rows of the report.
        merged: of these, that stand for several groups.
        least: the fewest persons of whom a row tells; None without rows.
        smallest: the sender's smallest cell.
    """
    passed = least is None or least >= smallest
    told = f"each tells of at least {smallest} persons" if passed else f"one tells of {least} persons, not {smallest}"
    summary = f"{parts:,} rows, {merged:,} of merged groups; {told}" if parts else "no row: too few persons, or none"
    return CheckOutcome(CheckName.SMALL_GROUPS_MERGED, passed, summary, {"rows": parts, "merged": merged})


def combine(name: CheckName, outcomes: Iterable[tuple[str, CheckOutcome]]) -> CheckOutcome:
    """One outcome for the check of several dumps: passed if all did; the worst speaks.

    Args:
        name: which check.
        outcomes: (file name, outcome) of each dump.
    """
    outcomes = list(outcomes)
    failed = [(file, o) for file, o in outcomes if not o.passed]
    if not outcomes:
        return CheckOutcome(name, True, "no dump to check", {"dumps": 0})
    if not failed:
        last = outcomes[-1][1]
        summary = last.summary if len(outcomes) == 1 else f"all of {len(outcomes)} dumps; last: {last.summary}"
        return CheckOutcome(name, True, summary, {"dumps": len(outcomes), **last.figures})
    file, worst = min(failed, key=lambda item: item[1].severity)  # "error" sorts before "warn"
    figures: dict[str, int | float | str] = {
        "dumps": len(outcomes),
        "failed": len(failed),
        "file": file,
        **worst.figures,
    }
    return CheckOutcome(name, False, f"{file}: {worst.summary}", figures, worst.severity)
