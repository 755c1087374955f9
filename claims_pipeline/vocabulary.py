"""The project's words as types: verdicts, and the reports that rooms hand to each other.

Belongs here: small frozen values that more than one room needs. Does not belong here: anything that decides, reads or
writes. No value of a record is ever held by one of these: names, counts and rule ids only.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal


class DumpVerdict(StrEnum):
    """What a dump turned out to be, decided by its bytes (design.md, Words)."""

    NEW = "new"
    RESENT = "resent"
    SUPERSEDING = "superseding"
    DUPLICATE = "duplicate"
    EMPTY = "empty"
    UNREADABLE = "unreadable"
    UNKNOWN = "unknown"
    HELD = "held"


class DumpStatus(StrEnum):
    """How far a dump has come. The first three are open: a sensor or `catch-up` goes on with them."""

    ARRIVED = "arrived"
    ARCHIVED = "archived"
    VALIDATED = "validated"
    LOADED = "loaded"
    SKIPPED = "skipped"  # nothing to load: resent, duplicate, empty, unknown
    REFUSED = "refused"  # the contract forbids loading it: unreadable, missing column, ciphertext, over budget
    FAILED = "failed"  # transient trouble outlasted every attempt
    SUPERSEDED = "superseded"  # was loaded; another dump took its place
    UNDONE = "undone"  # was loaded; a person took it out


OPEN_STATUSES = (DumpStatus.ARRIVED, DumpStatus.ARCHIVED, DumpStatus.VALIDATED)


class CheckName(StrEnum):
    """The asset checks, one name each, the same in Dagster, the audit and the messages."""

    INTACT = "intact"
    CONTRACT = "contract"
    REJECTS_WITHIN_BUDGET = "rejects_within_budget"
    ROW_CONSERVATION = "row_conservation"
    KEY_UNIQUE = "key_unique"
    VOLUME_IN_RANGE = "volume_in_range"
    DELETIONS_WITHIN_BUDGET = "deletions_within_budget"
    FRESH = "fresh"
    RESTORE_EQUALS_BACKUP = "restore_equals_backup"
    REBUILD_EQUALS_TABLE = "rebuild_equals_table"
    SMALL_GROUPS_MERGED = "small_groups_merged"
    AUDIT_UNBROKEN = "audit_unbroken"


class Role(StrEnum):
    """The roles of a warehouse; each belongs to the whole server.

    Attributes:
        OWNER: migrates, and owns everything. Backups, drills and erasure work as it.
        LOADER: what runs use: rows, and no more.
        ANALYST: reads rows of persons in views without direct identifiers (class 3) and special data (class 4).
        BI_READER: reads counts in `bi`.
    """

    OWNER = "claims_owner"
    LOADER = "claims_loader"
    ANALYST = "claims_analyst"
    BI_READER = "bi_reader"


@dataclass(frozen=True)
class RowCounts:
    """Rows of one load by verdict. `read` is the sum of the seven verdicts a row of the dump can get.

    `deleted` counts rows of the table that the dump removed: they were not read from it, and stand outside the sum.
    """

    read: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    stale: int = 0
    duplicate: int = 0
    filtered: int = 0
    quarantined: int = 0
    deleted: int = 0

    @property
    def accounted(self) -> int:
        """Rows of the dump that got a verdict."""
        return (
            self.inserted
            + self.updated
            + self.unchanged
            + self.stale
            + self.duplicate
            + self.filtered
            + self.quarantined
        )

    @property
    def conserved(self) -> bool:
        """Whether every row read got exactly one verdict."""
        return self.read == self.accounted

    def __add__(self, other: RowCounts) -> RowCounts:
        return RowCounts(**{name: getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__})

    def as_dict(self) -> dict[str, int]:
        """The counts by name, `read` first."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True)
class CheckOutcome:
    """One evaluated check: passed or not, and the figures that say why.

    Attributes:
        name: which check.
        passed: its result.
        summary: one sentence for a person.
        figures: what it was computed from; no value of a record.
        severity: of not passing: "error" wants a person now, "warn" can wait for the day.
    """

    name: CheckName
    passed: bool
    summary: str
    figures: dict[str, int | float | str] = field(default_factory=dict)
    severity: Literal["error", "warn"] = "error"


NO_ROWS = "no rows"
"""Reason of an empty dump whose feed always has some: a person is told."""
NO_ROWS_AS_USUAL = "no rows, which is usual for this feed"
"""Reason of an empty dump that nobody needs to be told of, by its contract (`Feed.empty_is_usual`)."""


@dataclass(frozen=True)
class DumpReport:
    """What became of one dump, in words fit for a message: no value of a record.

    Attributes:
        feed: "sender/dataset", or "sender/?" for a dump without a contract.
        file: the object's key in the inbox.
        delivery_day: partition, a date in the sender's time zone.
        verdict: what the dump is; None while it has not been read.
        status: how far it came.
        reason: why, for a person; empty when it was loaded without remark.
        rows: rows by verdict; zeros when nothing was loaded.
        rejects: quarantined rows by rule id.
        issues: values set to NULL or kept with a warning, by rule id; their rows are loaded.
        drift: "added: x" / "missing: y" lines about columns, by name.
        bytes: size of the object.
        seconds: time spent on it, all steps together.
        stages: seconds by stage: archive, validation and load in all, and what these consist of. Parse, cast,
            validate, treat and write are parts of the validation, and overlap; stage, quarantine, merge and conflicts
            are parts of the load.
    """

    feed: str
    file: str
    delivery_day: dt.date
    verdict: DumpVerdict | None
    status: DumpStatus
    reason: str = ""
    rows: RowCounts = field(default_factory=RowCounts)
    rejects: dict[str, int] = field(default_factory=dict)
    issues: dict[str, int] = field(default_factory=dict)
    drift: tuple[str, ...] = ()
    bytes: int = 0
    seconds: float = 0.0
    stages: dict[str, float] = field(default_factory=dict)

    @property
    def needs_a_person(self) -> bool:
        """Whether somebody has to know that nothing of it was loaded; of repeats and usual empty ones nobody has."""
        if self.status in (DumpStatus.REFUSED, DumpStatus.FAILED):
            return True
        if self.verdict is DumpVerdict.EMPTY:
            return self.reason != NO_ROWS_AS_USUAL
        return self.verdict in (DumpVerdict.HELD, DumpVerdict.UNKNOWN, DumpVerdict.UNREADABLE)


@dataclass(frozen=True)
class Pulse:
    """What monitors watch besides runs: how things stand, whether or not anything happens.

    Attributes:
        held: dumps that wait for a person, by feed ("sender/dataset"); 0 where none does.
        days_behind: delivery days that were due and are not in the table, by feed.
        reports_behind: whether the reports of a sender lack what its tables hold, by sender with reports.
    """

    held: dict[str, int]
    days_behind: dict[str, int]
    reports_behind: dict[str, bool]


class DeliveryState(StrEnum):
    """How what a calendar expects of a feed on a delivery day stands."""

    DUE = "due"  # not yet time
    LATE = "late"  # past the time, within grace; or all came, after the time
    MISSING = "missing"  # past the time and its grace
    ARRIVED = "arrived"
    EARLY = "early"  # all came, the first before the earliest time
    DOUBLE = "double"  # more came than are due


class DeliveryNews(StrEnum):
    """What people are told of a delivery, each once."""

    MISSING = "missing"
    LATE = "late"
    RECOVERED = "recovered"  # came after it was told as missing
    EARLY = "early"
    DOUBLE = "double"


@dataclass(frozen=True)
class Delivery:
    """What is due of a feed on a delivery day, and what came.

    Attributes:
        feed: "sender/dataset".
        day: delivery day, in the sender's zone.
        state: how it stands.
        due_at: by when it is due; UTC.
        dumps_due: how many dumps are due.
        dumps: how many came, told apart by their names.
        completed_at: when the last of those that are due was uploaded (UTC); None before.
    """

    feed: str
    day: dt.date
    state: DeliveryState
    due_at: dt.datetime
    dumps_due: int
    dumps: int
    completed_at: dt.datetime | None

    @property
    def late_by(self) -> dt.timedelta:
        """How much after the time all that is due had come; nothing where it was in time, or is not there."""
        return max((self.completed_at or self.due_at) - self.due_at, dt.timedelta(0))


@dataclass(frozen=True)
class RunReport:
    """What one run did: the content of its one Slack message and its metrics.

    Attributes:
        run_id: Dagster's run id, or "cli-..." for `catch-up`.
        run_url: link to the run in the UI; None where no UI is known.
        outcome: "success" (all well), "attention" (ended, but a dump was refused or a check failed), "failure".
        sender: the sender whose dumps the run handled.
        days: delivery days, sorted.
        dumps: every dump that the run handled.
        failed_checks: checks that did not pass, with their figures.
        error: for failures: class of error and step, already free of values.
        next_step: what a person should do; empty when nothing.
        seconds: wall time.
    """

    run_id: str
    run_url: str | None
    outcome: str
    sender: str
    days: tuple[dt.date, ...]
    dumps: tuple[DumpReport, ...] = ()
    failed_checks: tuple[tuple[str, CheckOutcome], ...] = ()
    error: str = ""
    next_step: str = ""
    seconds: float = 0.0

    @property
    def rows(self) -> RowCounts:
        """Rows by verdict over all dumps of the run."""
        return sum((dump.rows for dump in self.dumps), RowCounts())
