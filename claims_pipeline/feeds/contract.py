"""The vocabulary in which a feed is described: `Sender`, `Feed`, formats, and all of columns.py.

Belongs here: declarations and what follows from them alone (stored columns, fingerprint). Does not belong here: I/O,
SQL, Dagster, or the work itself (casting and treatment are done in `frames`, DDL is written in `warehouse`).

A sender module declares one pandera model per dataset and one `Feed` around it:

    class Visits(FeedModel):
        '''One row per visit.'''
        visit_id: BigInt = column("Visit number", key=True, ge=1)
        person: Text = column("Person number", pii=Pii.DIRECT, treatment=Token())

    VISITS = Feed(sender=CLINIC, dataset="visits", model=Visits, file_names=(r"^visits_(?P<stamp>[0-9]{8})[.]csv$",))

Checks are pandera's own (`ge=`, `isin=`, `str_matches=`, `@pa.dataframe_check`). A check with `raise_warning=True` is
advice: it is counted and reported, and the row is kept. Every other check sets its rows apart.
"""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import pandas as pd
import pandera.pandas as pa

from claims_pipeline.feeds.columns import (
    FACTS,
    BigInt,
    Boolean,
    Column,
    ColumnFacts,
    Date,
    Declared,
    Drop,
    FeedModel,
    Flag,
    Integer,
    Keep,
    Money,
    Pii,
    Reduce,
    Reduction,
    SmallInt,
    StoredColumn,
    Text,
    TextList,
    Timestamp,
    Token,
    Treatment,
    column,
    treatment_text,
)
from claims_pipeline.feeds.sidecars import CHECKSUM_SUFFIX, Manifest, Sidecars, Trailer

__all__ = [
    "BiView",
    "BigInt",
    "Boolean",
    "Budget",
    "Calendar",
    "Column",
    "ColumnFacts",
    "Csv",
    "Date",
    "Declared",
    "Document",
    "Drop",
    "Feed",
    "FeedModel",
    "FixedWidth",
    "Flag",
    "Format",
    "Integer",
    "JsonLines",
    "Keep",
    "Manifest",
    "Money",
    "Parquet",
    "Pii",
    "Reduce",
    "Reduction",
    "ReplacedSet",
    "Retention",
    "Sender",
    "Sidecars",
    "SmallInt",
    "Snapshot",
    "StoredColumn",
    "Text",
    "TextFormat",
    "TextList",
    "Timestamp",
    "Token",
    "Trailer",
    "Treatment",
    "column",
    "treatment_text",
]


@dataclass(frozen=True)
class Calendar:
    """When a sender delivers.

    Attributes:
        weekdays: ISO weekdays on which a dump is due, 1 Monday .. 7 Sunday.
        due: local time of the sender's zone by which the dump of the day must have arrived.
    """

    weekdays: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7)
    due: dt.time = dt.time(9, 0)

    def expects(self, day: dt.date) -> bool:
        """Whether a dump is due on that delivery day."""
        return day.isoweekday() in self.weekdays


@dataclass(frozen=True)
class Sender:
    """Who drops files.

    Attributes:
        name: identifier, also the Postgres schema and the asset group.
        title: name for people.
        timezone: IANA zone of its delivery days and of time stamps without a zone.
        prefix: where its keys begin in the inbox bucket.
        start: first delivery day that partitions know.
        calendar: when it delivers.
        owners: Dagster owners ("team:..." or an e-mail address).
        ignore: regular expressions of keys that are no dumps and are passed over silently: uploads under way, what
            operating systems leave beside files, markers, folders, checksums. Declared sidecars need no mention.
        reporting_schema: schema of views under the names that the sender's readers know: each table with the file name
            and time stamp of its dump beside every row; None for none.
        smallest_cell: counts below it are hidden in views for BI (11: CMS; 6: New Zealand's MSD; feeds.md section 5).
    """

    name: str
    title: str
    timezone: str
    prefix: str
    start: dt.date
    calendar: Calendar = Calendar()
    owners: tuple[str, ...] = ("team:data-engineering",)
    ignore: tuple[str, ...] = (
        r"(^|/)in_progress/",
        r"(?i)\.(tmp|part|crdownload)$",
        r"~$",
        r"(^|/)\._",
        r"(^|/)_SUCCESS$",
        r"/$",
        re.escape(CHECKSUM_SUFFIX) + "$",
    )
    reporting_schema: str | None = None
    smallest_cell: int = 11


@dataclass(frozen=True, kw_only=True)
class TextFormat:
    """How a sender writes values as text.

    Attributes:
        encoding: of the text, a Python codec name; a byte order mark is skipped.
        nulls: spellings of NULL (in CSV unquoted ones).
        decimal: decimal mark of numbers.
        thousands: mark between groups of digits, removed before the cast; empty for none.
        dates: strptime forms of dates besides ISO, such as "%d/%m/%Y"; tried in order.
        timestamps: strptime forms of naive time stamps besides ISO.
    """

    encoding: str = "utf-8"
    nulls: tuple[str, ...] = ("", "\\N")
    decimal: str = "."
    thousands: str = ""
    dates: tuple[str, ...] = ()
    timestamps: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Csv(TextFormat):
    """CSV with a header. Quoted empty text stays '', unquoted empty text is NULL.

    Attributes:
        delimiter: one character between fields.
        quote: one character around fields.
        escape: one character before a quote within a field; None where quotes are doubled.
        trailer: the last row, where it counts and sums up the rows before it; None where all rows are data.
    """

    delimiter: str = ","
    quote: str = '"'
    escape: str | None = None
    trailer: Trailer | None = None


@dataclass(frozen=True, kw_only=True)
class FixedWidth(TextFormat):
    """Lines of fields of fixed widths, without a header. Blanks around a value are no part of it.

    Attributes:
        fields: (column, width in characters) of every field, in order. A shorter line lacks blanks at its end; a
            longer one is set apart.
        header_lines: lines at the start that are no rows.
    """

    fields: tuple[tuple[str, int], ...]
    header_lines: int = 0


@dataclass(frozen=True)
class Parquet:
    """Parquet, whose physical types may differ from file to file: each value is brought to the contract's type."""


@dataclass(frozen=True)
class JsonLines:
    """One JSON object a line; UTF-8. Keys are columns; an absent key and null are NULL."""


Format = Csv | FixedWidth | Parquet | JsonLines


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
    """How long what S3 holds of a dump is kept, in days after the dump was settled. Tables and ledger are not touched.

    The defaults delete nothing that cannot be made again. Raw bytes are what a rebuild, a replay and an undo are made
    from, and the laws ask for years (HIPAA 6, New Zealand 10): they go only where a contract says so. Frames can be
    made from raw bytes at any time; after three months they are rarely asked for.

    Attributes:
        raw: the archived bytes; None for ever.
        validated: the validated frames; None as long as the raw bytes. Never longer than those: frames are made again
            from raw bytes, not the other way round.
    """

    raw: int | None = None
    validated: int | None = 90

    def __post_init__(self) -> None:
        """Raise ValueError for a declaration that contradicts itself."""
        if any(days is not None and days < 1 for days in (self.raw, self.validated)):
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
    """A view for people and BI tools: rows counted by month and groups, small counts hidden, no identifiers.

    Attributes:
        month_of: stored date or timestamp column whose month is shown, in the sender's time zone.
        by: stored columns to group by; none that identifies.
    """

    month_of: str
    by: tuple[str, ...] = ()


@dataclass(frozen=True)
class Feed:
    """One kind of file of one sender: the model and the facts beside it.

    Attributes:
        sender: who drops it.
        dataset: its name; also the table's.
        model: the pandera model, typed, before treatment.
        file_names: regular expressions of the keys (searched after the sender's prefix). Named groups: `stamp` (the
            embedded time stamp), `day` (delivery day, ISO), `epoch` (seconds). A name without any of them takes its
            day and stamp from the arrival.
        version: column that says which of two rows with one key is newer; None where only the dump's stamp does.
        replaced_set: where rows are replaced as a set with their parent.
        snapshot: where each dump is the whole table; None where it brings changes only (a delta).
        unique: columns unique over the table besides the key, when not NULL; each listed column alone.
        refuse: regular expressions of column names whose presence refuses the dump (it was not decrypted).
        document: a column of JSON documents that fills columns a dump lacks.
        budget: how many rejects a load may have.
        format: how the dumps are written.
        sidecars: what lies beside them.
        names: how header names are matched: "exact", or "loose": ignoring case, blanks and underscores.
        drift: what unknown, missing or retyped columns do: "allow" loads and tells, "hold" asks a person, "freeze"
            refuses the dump.
        bi: the view for BI; None for none.
        soft_delete: boolean column by which the sender marks a row as deleted; the row is kept.
        hidden_from_bi: boolean columns; rows where one is true are left out of views for BI, as are deleted ones.
        volume_tolerance: a dump may hold between 1/x and x times the median rows of its last dumps.
        retention: how long raw bytes and validated frames are kept; no part of the fingerprint.
    """

    sender: Sender
    dataset: str
    model: type[FeedModel]
    file_names: tuple[str, ...]
    version: str | None = None
    replaced_set: ReplacedSet | None = None
    snapshot: Snapshot | None = None
    unique: tuple[str, ...] = ()
    refuse: tuple[str, ...] = ()
    document: Document | None = None
    budget: Budget = Budget()
    format: Format = Csv()
    sidecars: Sidecars = field(default_factory=Sidecars)
    names: Literal["exact", "loose"] = "exact"
    drift: Literal["allow", "hold", "freeze"] = "allow"
    bi: BiView | None = None
    soft_delete: str | None = None
    hidden_from_bi: tuple[str, ...] = ()
    volume_tolerance: float = 5.0
    retention: Retention = Retention()

    def __post_init__(self) -> None:
        """Raise ValueError for a declaration that contradicts itself, at import, with the feed's name."""
        names = {c.name for c in self.columns}
        stored = [c.name for c in self.stored]
        named = {self.version} if self.version else set()
        named |= set(self.hidden_from_bi) | ({self.soft_delete} if self.soft_delete else set())
        named |= set(self.unique) | ({self.replaced_set.by} if self.replaced_set else set())
        named |= {self.document.column, *self.document.holds} if self.document else set()
        if missing := named - names:
            raise ValueError(f"{self.name}: columns named in the feed but not in the model: {sorted(missing)}")
        if any(c.nullable or not c.facts.required for c in self.columns if c.name == self.version):
            raise ValueError(f"{self.name}: the version column {self.version} must be required and never NULL")
        if self.snapshot and self.replaced_set:
            raise ValueError(f"{self.name}: a snapshot is the whole table, so no set in it is replaced by itself")
        if not self.key:
            raise ValueError(f"{self.name}: no column is declared with key=True")
        if self.bi and (unknown := {self.bi.month_of, *self.bi.by} - set(stored)):
            raise ValueError(f"{self.name}: columns of the BI view that are not stored: {sorted(unknown)}")
        if unread := [c.name for c in self.columns if isinstance(c.facts.treatment, Drop) and c.examined]:
            raise ValueError(f"{self.name}: dropped columns are never read, so cannot be checked: {unread}")
        if doubled := {n for n in stored if stored.count(n) > 1}:
            raise ValueError(f"{self.name}: two columns are stored under one name: {sorted(doubled)}")
        for pattern in self.file_names:
            re.compile(pattern)

    @property
    def name(self) -> str:
        """The feed's name everywhere: "sender/dataset"."""
        return f"{self.sender.name}/{self.dataset}"

    @property
    def title(self) -> str:
        """First line of the model's docstring."""
        return (self.model.__doc__ or self.dataset).strip().splitlines()[0]

    @functools.cached_property
    def schema(self) -> pa.DataFrameSchema:
        """The pandera schema of a typed batch, before treatment."""
        return self.model.to_schema()

    @functools.cached_property
    def columns(self) -> tuple[Column, ...]:
        """The contract's columns in the model's order."""
        return tuple(
            Column(
                name=name,
                arrow=cast("pd.ArrowDtype", column_schema.dtype.type).pyarrow_dtype,
                nullable=column_schema.nullable,
                description=column_schema.description or "",
                facts=cast("ColumnFacts", (column_schema.metadata or {})[FACTS]),
                checks=tuple(column_schema.checks),
            )
            for name, column_schema in self.schema.columns.items()
        )

    @functools.cached_property
    def stored(self) -> tuple[StoredColumn, ...]:
        """The columns of the validated Parquet and the table, after treatment, without the loader's own."""
        return tuple(stored for c in self.columns for stored in c.stored)

    @functools.cached_property
    def key(self) -> tuple[str, ...]:
        """Stored names of the primary key."""
        return tuple(c.name for c in self.stored if c.key)

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over everything that decides what a dump becomes: the contract's version."""
        return hashlib.sha256(json.dumps(self.describe(), sort_keys=True).encode()).hexdigest()

    def describe(self) -> dict[str, Any]:
        """The contract as plain JSON values: what the database records and the dictionary prints."""
        return {
            "feed": self.name,
            "title": self.title,
            "version_column": self.version,
            "key": list(self.key),
            "unique": list(self.unique),
            "replaced_set_by": self.replaced_set.by if self.replaced_set else None,
            "refuse": list(self.refuse),
            "delivery": "snapshot" if self.snapshot else "delta",
            "format": f"{self.format}",
            "sidecars": f"{self.sidecars}",
            "names": self.names,
            "drift": self.drift,
            "soft_delete": self.soft_delete,
            "hidden_from_bi": list(self.hidden_from_bi),
            "filled_from": {self.document.column: sorted(self.document.holds)} if self.document else {},
            "table_rules": [str(check.name) for check in self.schema.checks],
            "columns": [
                {
                    "name": c.name,
                    "type": str(c.arrow),
                    "nullable": c.nullable,
                    "required": c.facts.required,
                    "pii": int(c.facts.pii),
                    "treatment": treatment_text(c.facts.treatment),
                    "invalid": c.facts.invalid,
                    "codes": dict(c.facts.codes),
                    "only": list(c.facts.only),
                    "aliases": list(c.facts.aliases),
                    "sentinels": list(c.facts.sentinels),
                    "hashed": c.facts.hashed,
                    "rules": [str(check) for check in c.checks],
                    "stored_as": [s.name for s in c.stored],
                    "description": c.description,
                }
                for c in self.columns
            ],
        }
