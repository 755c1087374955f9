"""Replaying quarantined rows after a contract or rule was mended: their dumps are read and loaded once more.

Belongs here: which dumps, in which order, and what came of each. Does not belong here: how a dump is validated and
loaded (`flow`), and opening sealed rows: a replay reads the raw archive, and needs none of their keys.

A dump is replayed as a whole: rows that keep the contract now are merged in version order, rows that still break it
stay, and rows that break a rule of today and none of then are set apart. What has not changed is found unchanged.
"""

from __future__ import annotations

import datetime as dt
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq

from claims_pipeline import checks
from claims_pipeline.errors import BadDump, ClaimsPipelineError, Transient, safe_text, whereabouts
from claims_pipeline.feeds import Feed, all_feeds, family
from claims_pipeline.flow import Flow
from claims_pipeline.landing import s3
from claims_pipeline.vocabulary import DumpStatus
from claims_pipeline.warehouse import ledger, quarantine
from claims_pipeline.warehouse.ledger import Dump
from claims_pipeline.warehouse.quarantine import Selection

_REPLAYED = (DumpStatus.LOADED, DumpStatus.REFUSED, DumpStatus.FAILED)
"""Statuses that a dump in effect is replayed from; others mean that a run has it in hand."""

_AT_LOAD = "unique."
"""Begins rules that only a load can judge: they compare with the table."""


@dataclass(frozen=True)
class Replayed:
    """What a replay did to one dump, or would do. Rows by rule: a row that broke several is counted with each.

    Attributes:
        dump_id: its number.
        feed: "sender/dataset".
        file: its key in the inbox.
        delivery_day: a date in the sender's time zone.
        open: rows in quarantine before, by rule.
        passed: of these, rows that leave it, by rule: they are merged, or left out as the contract says.
        undecided: of these, rows that only the load can judge, by rule; a dry run cannot tell.
        newly: rows that kept the contract before and do not now.
        trouble: why it was not replayed or not loaded; empty when all is well.
        passing: whether trying again may help.
    """

    dump_id: int
    feed: str
    file: str
    delivery_day: dt.date
    open: dict[str, int] = field(default_factory=dict)
    passed: dict[str, int] = field(default_factory=dict)
    undecided: dict[str, int] = field(default_factory=dict)
    newly: int = 0
    trouble: str = ""
    passing: bool = False


def replay(
    flow: Flow, which: Selection, *, dry_run: bool, each: Callable[[Dump], None] | None = None
) -> list[Replayed]:
    """Replay every dump with open quarantined rows of a selection, oldest stamp first; one's trouble stops no other.

    What was approved stays approved. Where a dump is held or refused now, the rows of its last load stay in the table.

    Args:
        flow: the steps.
        which: the rows; all rows of their dumps are replayed.
        dry_run: only tell what would be.
        each: told of each dump before it is worked on.

    Raises:
        Transient, ClaimsPipelineError: the database cannot be asked at all.
    """
    with flow.services.database() as connection:
        dumps = [ledger.get(connection, dump_id) for dump_id in quarantine.dumps(connection, which)]
    feeds = {feed.name: feed for feed in all_feeds()}
    done = []
    for dump in dumps:
        if each:
            each(dump)
        try:
            done.append(_replayed(flow, dump, feeds.get(dump.feed), dry_run=dry_run))
        except Exception as error:  # whatever stopped this dump, the others go on; `safe_text` quotes no value
            known = isinstance(error, ClaimsPipelineError)
            text = safe_text(error) if known else f"{safe_text(error)} at {whereabouts(error)}"
            done.append(_result(dump, {}, trouble=text, passing=isinstance(error, Transient)))
    return done


def _replayed(flow: Flow, dump: Dump, feed: Feed | None, *, dry_run: bool) -> Replayed:
    if feed is None:
        raise ClaimsPipelineError(f"no contract is named {dump.feed} any more")
    if dump.status not in _REPLAYED:
        raise ClaimsPipelineError(f"it is {dump.status}: a run has it in hand, or the next one will")
    if dump.archive_key is None or dump.raw_pruned_at is not None:
        raise ClaimsPipelineError(dump.pruned or "the raw archive does not have it")
    s3.head(flow.services.s3, bucket=flow.archive_bucket, key=dump.archive_key)  # before anything is changed
    which = Selection(dump_id=dump.dump_id)
    with flow.services.database() as connection:
        before = quarantine.open_rules(connection, which)
    if dry_run:
        return _foretold(flow, dump, feed, before)
    flow.prepare(family(feed))
    with flow.services.database() as connection:
        # A loaded dump stays loaded until it is validated: should this break off before, nothing has changed; should it
        # break off after, the sensor goes on.
        if dump.status is DumpStatus.LOADED:
            ledger.forget_attempts(connection, dump.dump_id)
        else:
            ledger.reopen(connection, dump.dump_id)
        dump = ledger.get(connection, dump.dump_id)
    dump = flow.load(flow.validate(dump, feed), feed)
    with flow.services.database() as connection:
        after = quarantine.open_rules(connection, which)
    trouble = "" if dump.status is DumpStatus.LOADED else f"{dump.status}: {dump.reason}"
    return _result(dump, before, passed=before.keys() - after, newly=len(after.keys() - before.keys()), trouble=trouble)


def _foretold(flow: Flow, dump: Dump, feed: Feed, before: Mapping[int, list[str]]) -> Replayed:
    with tempfile.TemporaryDirectory(prefix="claims-") as folder:
        rows_path, rejects_path = Path(folder) / "rows.parquet", Path(folder) / "rejects.parquet"
        try:
            found = flow.read(dump, feed, rows_path, rejects_path)
        except BadDump as error:
            return _result(dump, before, trouble=f"would be refused: {error}")
        rejected = set(pq.read_table(rejects_path, columns=["row_number"])["row_number"].to_pylist())
    undecided = {n for n, rules in before.items() if any(rule.startswith(_AT_LOAD) for rule in rules)} - rejected
    budget = checks.rejects_within_budget(feed, read=found.read, rejects=found.rejects, rejected=found.quarantined)
    held = not budget.passed and dump.approved_by is None
    return _result(
        dump,
        before,
        passed=before.keys() - rejected - undecided,
        undecided=undecided,
        newly=len(rejected - before.keys()),
        trouble=f"would be held: {budget.summary}" if held else "",
    )


def _result(
    dump: Dump,
    before: Mapping[int, list[str]],
    *,
    passed: Iterable[int] = (),
    undecided: Iterable[int] = (),
    newly: int = 0,
    trouble: str = "",
    passing: bool = False,
) -> Replayed:
    return Replayed(
        dump_id=dump.dump_id,
        feed=dump.feed,
        file=dump.key,
        delivery_day=dump.delivery_day,
        open=_by_rule(before, before),
        passed=_by_rule(before, passed),
        undecided=_by_rule(before, undecided),
        newly=newly,
        trouble=trouble,
        passing=passing,
    )


def _by_rule(rules: Mapping[int, list[str]], numbers: Iterable[int]) -> dict[str, int]:
    return dict(sorted(Counter(rule for number in numbers for rule in rules[number]).items()))
