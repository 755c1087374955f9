"""The vocabulary in which a feed is described: `Feed`, and all that is declared in columns, formats, policies, senders.

Belongs here: the feed and what follows from its declarations alone (stored columns, fingerprint); the names that a
sender's module needs, in one place. Does not belong here: I/O, SQL, Dagster, or the work itself (casting and treatment
are done in `frames`, DDL is written in `warehouse`).

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

import functools
import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import pandas as pd
import pandera.pandas as pa

from claims_pipeline.feeds.calendars import Calendar, Holidays
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
from claims_pipeline.feeds.formats import Csv, FixedWidth, Format, JsonLines, Parquet, TextFormat
from claims_pipeline.feeds.policies import BiView, Budget, Document, ReplacedSet, Retention, Snapshot, Source, Subject
from claims_pipeline.feeds.senders import Sender
from claims_pipeline.feeds.sidecars import Manifest, Sidecars, Trailer

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
    "Holidays",
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
    "Source",
    "StoredColumn",
    "Subject",
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
        subject: whose data a row is; None where it is nobody's (catalogues).
        source: where its layout comes from; no part of the fingerprint.
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
        empty_is_usual: a dump without a row (not one without a byte) is nothing that a person is told of, as where a
            delta of a small table has often nothing to say. No part of the fingerprint.
        retention: how long raw bytes and validated frames are kept; no part of the fingerprint.
        calendar: when its dumps are due; None where that is when its sender says. No part of the fingerprint.
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
    subject: Subject | None = None
    source: Source | None = None
    budget: Budget = field(default_factory=Budget)
    format: Format = field(default_factory=Csv)
    sidecars: Sidecars = field(default_factory=Sidecars)
    names: Literal["exact", "loose"] = "exact"
    drift: Literal["allow", "hold", "freeze"] = "allow"
    bi: BiView | None = None
    soft_delete: str | None = None
    hidden_from_bi: tuple[str, ...] = ()
    volume_tolerance: float = 5.0
    empty_is_usual: bool = False
    retention: Retention = field(default_factory=Retention)
    calendar: Calendar | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for a declaration that contradicts itself, at import, with the feed's name."""
        names = {c.name for c in self.columns}
        stored = [c.name for c in self.stored]
        named = {self.version} if self.version else set()
        named |= set(self.hidden_from_bi) | ({self.soft_delete} if self.soft_delete else set())
        named |= set(self.unique) | ({self.replaced_set.by} if self.replaced_set else set())
        named |= {self.document.column, *self.document.holds} if self.document else set()
        named |= set(self.source.published) if self.source else set()
        if missing := named - names:
            raise ValueError(f"{self.name}: columns named in the feed but not in the model: {sorted(missing)}")
        if any(c.nullable or not c.facts.required for c in self.columns if c.name == self.version):
            raise ValueError(f"{self.name}: the version column {self.version} must be required and never NULL")
        self._check_snapshot()
        if not self.key:
            raise ValueError(f"{self.name}: no column is declared with key=True")
        if self.bi and (unknown := {self.bi.month_of, *self.bi.by} - set(stored)):
            raise ValueError(f"{self.name}: columns of the BI view that are not stored: {sorted(unknown)}")
        if self.subject and (unknown := {*self.subject.tokens, *self.subject.by} - set(stored)):
            raise ValueError(f"{self.name}: columns of the subject that are not stored: {sorted(unknown)}")
        if unread := [c.name for c in self.columns if isinstance(c.facts.treatment, Drop) and c.examined]:
            raise ValueError(f"{self.name}: dropped columns are never read, so cannot be checked: {unread}")
        if doubled := {n for n in stored if stored.count(n) > 1}:
            raise ValueError(f"{self.name}: two columns are stored under one name: {sorted(doubled)}")
        for pattern in self.file_names:
            re.compile(pattern)

    def _check_snapshot(self) -> None:
        if self.snapshot and self.empty_is_usual:
            raise ValueError(f"{self.name}: an empty snapshot would delete the whole table, which is never usual")
        if self.snapshot and self.replaced_set:
            raise ValueError(f"{self.name}: a snapshot is the whole table, so no set in it is replaced by itself")

    @property
    def name(self) -> str:
        """The feed's name everywhere: "sender/dataset"."""
        return f"{self.sender.name}/{self.dataset}"

    @property
    def deliveries(self) -> Calendar:
        """When its dumps are due: by its own calendar, or its sender's."""
        return self.calendar or self.sender.calendar

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
    def token_columns(self) -> tuple[str, ...]:
        """Stored names of the columns that hold tokens."""
        return tuple(c.stored[0].name for c in self.columns if isinstance(c.facts.treatment, Token))

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
