"""What a feed allows, replaces, derives and shows, besides its columns.

Belongs here: declarations of a feed's behaviour, each of which some step heeds. Does not belong here: the steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Budget:
    """How many quarantined rows a load may have. The larger of the two limits counts.

    Attributes:
        rows: absolute number.
        share: share of the rows read, 0..1.
    """

    rows: int = 100
    share: float = 0.05

    def allows(self, *, rejected: int, read: int) -> bool:
        """Whether so many rejects of so many rows are within the budget."""
        return rejected <= max(self.rows, self.share * read)


@dataclass(frozen=True)
class Retention:
    """How long what is kept of a dump beside the tables stays, in days. Tables, history and ledger are not touched.

    The defaults delete nothing that cannot be made again. Raw bytes are what a rebuild, a replay and an undo are made
    from, and the laws ask for years (HIPAA 6, New Zealand 10): they go only where a contract says so. Frames can be
    made from raw bytes at any time; after three months they are rarely asked for.

    Attributes:
        raw: the archived bytes, after the dump was settled; None for ever.
        validated: the validated frames, likewise; None as long as the raw bytes. Never longer than those: frames are
            made again from raw bytes, not the other way round.
        quarantine: what quarantined rows say, sealed, in the database and beside the frames, after they were set apart;
            None for ever in the database. That they were set apart, where and why, stays; a replay reads raw bytes.
    """

    raw: int | None = None
    validated: int | None = 90
    quarantine: int | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for a declaration that contradicts itself."""
        if any(days is not None and days < 1 for days in (self.raw, self.validated, self.quarantine)):
            raise ValueError("a retention is at least one day")
        if self.raw is not None and (self.validated or 0) > self.raw:
            raise ValueError(f"validated frames cannot be kept {self.validated} days, longer than raw ({self.raw})")

    @property
    def frames(self) -> int | None:
        """Days after which validated frames may go; None never."""
        return self.raw if self.validated is None else self.validated


@dataclass(frozen=True)
class Snapshot:
    """Each dump is the whole table: a row that it lacks is deleted, which history remembers.

    A dump that looks cut short is held for a person, and nothing of it is applied.

    Attributes:
        most_deleted: share of the table's rows that one dump may delete, 0..1.
        least_deleted: so many rows it may always delete; small tables change by large shares.
        shortest: share of the median rows of its last dumps that a dump must have, 0..1.
    """

    most_deleted: float = 0.05
    least_deleted: int = 20
    shortest: float = 0.5

    def allows(self, *, deleted: int, stored: int) -> bool:
        """Whether a dump may delete so many of the stored rows."""
        return deleted <= max(self.least_deleted, self.most_deleted * stored)


@dataclass(frozen=True)
class ReplacedSet:
    """Rows that are replaced as a set: a newer dump's rows for one parent replace all earlier ones.

    Attributes:
        by: column that names the parent; part of the key.
        parent: dataset of the parent, same sender.
        parent_key: the parent's key column.
        count: the parent's column that says how many children there are; 0 removes the set, though a dump cannot hold
            a row that says so.
    """

    by: str
    parent: str
    parent_key: str
    count: str


@dataclass(frozen=True)
class Subject:
    """Whose data a row is: a person known by tokens in the row, or the person of another dataset's row that it names.

    What erasure follows, and what counts for persons do. Exactly one of `tokens` and `of` is given.

    Attributes:
        tokens: stored token columns that each stand for the person; the first that is not NULL is the person.
        of: dataset of the same sender whose row says whose this row is.
        by: stored columns of this dataset that name that row.
        key: the stored columns of `of` that they name, in the same order.
    """

    tokens: tuple[str, ...] = ()
    of: str | None = None
    by: tuple[str, ...] = ()
    key: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raise ValueError for a declaration that contradicts itself."""
        if bool(self.tokens) == bool(self.of):
            raise ValueError("a subject is known by tokens, or through a row of another dataset")
        if len(self.by) != len(self.key) or bool(self.of) != bool(self.by):
            raise ValueError("a subject through another dataset says by which columns, and the key that they name")


@dataclass(frozen=True)
class Source:
    """Where a dataset's layout comes from, for the data dictionary.

    Attributes:
        text: a sentence or two: what is published and where, and what is this project's proposal.
        published: contract columns that the published source names; all others are proposals.
    """

    text: str
    published: tuple[str, ...] = ()


@dataclass(frozen=True)
class Document:
    """A column of JSON documents from which columns are filled that a dump does not hold itself.

    The document's own column is treated as it declares, which is nearly always `Drop`.

    Attributes:
        column: the contract column with the documents, JSON text.
        holds: by contract column, its value from the parsed document; pure. A function that raises LookupError,
            TypeError, ValueError or AttributeError says that the document does not hold the value: it becomes NULL.
    """

    column: str
    holds: Mapping[str, Callable[[Any], object]]


@dataclass(frozen=True)
class BiView:
    """A report for people and BI tools (reports.py): rows counted by month and groups, no identifiers.

    Attributes:
        month_of: stored date or timestamp column whose month is shown, in the sender's time zone.
        by: stored columns to group by, the coarsest first; none that identifies.
    """

    month_of: str
    by: tuple[str, ...] = ()
