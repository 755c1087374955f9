"""The vocabulary in which a feed is described: column types, treatments of personal data, `column`, `Sender`, `Feed`.

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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Annotated, Any, Literal, cast

import pandas as pd
import pandera.pandas as pa
import pyarrow

# ---------------------------------------------------------------------------------------------- column types
# Arrow-backed pandas types: nullable, exact, and free to pass between pandas and Arrow (stack.md, Speed).

BigInt = Annotated[pd.ArrowDtype, pyarrow.int64()]
Integer = Annotated[pd.ArrowDtype, pyarrow.int32()]
SmallInt = Annotated[pd.ArrowDtype, pyarrow.int16()]
Boolean = Annotated[pd.ArrowDtype, pyarrow.bool_()]
Text = Annotated[pd.ArrowDtype, pyarrow.string()]
TextList = Annotated[pd.ArrowDtype, pyarrow.list_(pyarrow.string())]
Date = Annotated[pd.ArrowDtype, pyarrow.date32()]
Timestamp = Annotated[pd.ArrowDtype, pyarrow.timestamp("us", "UTC")]
Money = Annotated[pd.ArrowDtype, pyarrow.decimal128(12, 2)]


class Pii(IntEnum):
    """Class of personal data of a column (feeds.md 2.2)."""

    NONE = 0
    PSEUDONYMOUS = 1  # a key that stands for a person or a claim
    QUASI = 2  # identifies together with others: dates, places
    DIRECT = 3  # identifies alone: names, SSN, ICN, addresses
    SPECIAL = 4  # health, free text, bank data, secrets


# ---------------------------------------------------------------------------------------------- treatments


@dataclass(frozen=True)
class Keep:
    """The value is stored as it is."""


@dataclass(frozen=True)
class Drop:
    """The value is never read: nothing of it leaves the raw archive."""


@dataclass(frozen=True)
class Token:
    """The value is replaced by a keyed HMAC-SHA-256, the same for the same value within one sender.

    Pseudonymisation, not de-identification (45 CFR 164.514(c); feeds.md section 5).

    Attributes:
        into: name of the stored column; None means "<column>_token".
        family: columns of one family share a token for one value, across datasets; None means the column's name.
        upper: values that differ in case only get one token (NHI numbers; never where case tells logins apart).
    """

    into: str | None = None
    family: str | None = None
    upper: bool = False


class Reduction(StrEnum):
    """How a value is made coarser."""

    BIRTH_YEAR = "birth_year"  # date -> 'YYYY', '90+' above 89 on the delivery day (45 CFR 164.514(b)(2)(i)(C))
    YEAR = "year"  # date -> smallint
    MONTH = "month"  # date -> first day of its month
    ZIP3 = "zip3"  # ZIP -> its first 3 digits, '000' for areas of 20,000 people or fewer (164.514(b)(2)(i)(B))
    EXTENSION = "extension"  # file name -> its extension if it is a known document type, else "other"
    COUNT = "count"  # list -> number of its entries
    PARTIAL_DATE = "partial_date"  # 'YYYY|XXXX-MM|XX-DD|XX' -> three smallints <name>_year, _month, _day; XX is NULL


@dataclass(frozen=True)
class Reduce:
    """The value is stored in a coarser form.

    Attributes:
        to: the coarser form.
        into: stored column's name (for PARTIAL_DATE the prefix of the three); None means "<column>_<to>".
    """

    to: Reduction
    into: str | None = None


Treatment = Keep | Drop | Token | Reduce

_REDUCED_TYPE: Mapping[Reduction, pyarrow.DataType] = {
    Reduction.BIRTH_YEAR: pyarrow.string(),
    Reduction.YEAR: pyarrow.int16(),
    Reduction.MONTH: pyarrow.date32(),
    Reduction.ZIP3: pyarrow.string(),
    Reduction.EXTENSION: pyarrow.string(),
    Reduction.COUNT: pyarrow.int32(),
    Reduction.PARTIAL_DATE: pyarrow.int16(),
}

# ---------------------------------------------------------------------------------------------- columns


@dataclass(frozen=True)
class Flag:
    """A boolean column computed from a value before it is treated, such as whether a number's check digit is right.

    Attributes:
        name: the stored column's name.
        holds: whether the value, as text without surrounding blanks, is right; pure. NULL stays NULL.
        description: its meaning.
    """

    name: str
    holds: Callable[[str], bool]
    description: str


@dataclass(frozen=True)
class ColumnFacts:
    """What a contract knows about a column beyond its type and pandera checks; see `column`."""

    pii: Pii
    treatment: Treatment
    key: bool
    required: bool
    invalid: Literal["reject", "null"]
    codes: tuple[tuple[str, str], ...]
    only: tuple[str, ...]
    aliases: tuple[str, ...]
    max_ahead: dt.timedelta | None
    hashed: bool
    sentinels: tuple[str, ...]
    flag: Flag | None
    local_copy: bool


_FACTS = "claims_pipeline"


def column(
    description: str,
    *,
    pii: Pii = Pii.NONE,
    treatment: Treatment | None = None,
    key: bool = False,
    required: bool | None = None,
    nullable: bool | None = None,
    invalid: Literal["reject", "null"] = "reject",
    codes: Mapping[str, str] | None = None,
    only: Sequence[str] = (),
    aliases: Sequence[str] = (),
    max_ahead: dt.timedelta | None = None,
    hashed: bool = True,
    sentinels: Sequence[str] = (),
    flag: Flag | None = None,
    local_copy: bool = False,
    **checks: Any,  # noqa: ANN401 - pandera's own check arguments, passed through
) -> Any:  # noqa: ANN401 - pandera types Field so
    """Declare a column of a feed's model.

    Args:
        description: meaning, for the dictionary and the table's comments.
        pii: class of personal data.
        treatment: what happens to the value before anything is written outside the raw archive. May be left out
            for class NONE and PSEUDONYMOUS (kept); every other class must say.
        key: part of the table's primary key; implies `required` and not nullable.
        required: the dump is refused when its header lacks the column.
        nullable: whether NULL is allowed in a row; default True, False for keys.
        invalid: what a text that cannot be cast does: set the row apart, or become NULL and be counted as an issue.
        codes: other spellings of a value, mapped while casting (such as enum numbers: {"0": "evss"}).
        only: rows with another value are left out (verdict `filtered`); empty for no filter.
        aliases: other names under which dumps deliver the column.
        max_ahead: a timestamp may lie this far after the dump's own time stamp, not further.
        hashed: whether a change of this column alone counts as a change of the row.
        sentinels: spellings that stand for "unknown" and become NULL (such as "1900-01-01").
        flag: a boolean column computed from the value before its treatment.
        local_copy: store the time stamp also as delivered, naive, as "<column>_local" (a clock change is ambiguous).
        **checks: pandera checks (ge, isin, str_matches, str_length, in_range, raise_warning...).

    Raises:
        ValueError: a personal column without a treatment.
    """
    if treatment is None:
        if pii > Pii.PSEUDONYMOUS:
            msg = f"column {description!r} holds personal data of class {pii.name} and says no treatment"
            raise ValueError(msg)
        treatment = Keep()
    facts = ColumnFacts(
        pii=pii,
        treatment=treatment,
        key=key,
        required=key if required is None else required,
        invalid=invalid,
        codes=tuple((codes or {}).items()),
        only=tuple(only),
        aliases=tuple(aliases),
        max_ahead=max_ahead,
        hashed=hashed,
        sentinels=tuple(sentinels),
        flag=flag,
        local_copy=local_copy,
    )
    return pa.Field(
        nullable=not key if nullable is None else nullable,
        description=description,
        metadata={_FACTS: facts},
        **checks,
    )


class FeedModel(pa.DataFrameModel):
    """Base of every feed's model: typed, before treatment, in the order in which the table shows its columns."""


@dataclass(frozen=True)
class StoredColumn:
    """A column as it is stored: after treatment.

    Attributes:
        name: name in the validated Parquet and the table.
        arrow: its Arrow type.
        nullable: whether the table allows NULL.
        key: part of the primary key.
        hashed: whether it takes part in the row hash.
        source: the contract column it comes from.
        description: its meaning, treatment included.
    """

    name: str
    arrow: pyarrow.DataType
    nullable: bool
    key: bool
    hashed: bool
    source: str
    description: str


@dataclass(frozen=True)
class Column:
    """A column of the contract: name, type and facts, read off the model."""

    name: str
    arrow: pyarrow.DataType
    nullable: bool
    description: str
    facts: ColumnFacts
    checks: tuple[pa.Check, ...] = field(compare=False)

    @property
    def examined(self) -> bool:
        """Whether something is computed from its values."""
        return bool(self.checks) or self.facts.flag is not None or self.facts.local_copy

    @property
    def stored(self) -> tuple[StoredColumn, ...]:
        """The columns stored for this one: none when dropped, three for a partial date, else one, and their companions.

        Companions come last: the naive copy of a time stamp, then the flag.
        """
        facts = self.facts
        stored: tuple[StoredColumn, ...]
        nullable = self.nullable or not facts.required or facts.invalid == "null"

        def one(name: str, arrow: pyarrow.DataType, note: str, *, nullable: bool = nullable) -> StoredColumn:
            text = f"{self.description} ({note})" if note else self.description
            return StoredColumn(name, arrow, nullable, facts.key, facts.hashed, self.name, text)

        match facts.treatment:
            case Drop():
                stored = ()
            case Keep():
                stored = (one(self.name, self.arrow, ""),)
            case Token(into=into):
                stored = (one(into or f"{self.name}_token", pyarrow.string(), "token"),)
            case Reduce(to=Reduction.PARTIAL_DATE, into=into):
                prefix = into or self.name
                stored = tuple(
                    one(f"{prefix}_{part}", pyarrow.int16(), f"{part} of a partial date", nullable=True)
                    for part in ("year", "month", "day")
                )
            case Reduce(to=to, into=into):
                stored = (
                    one(into or f"{self.name}_{to.value}", _REDUCED_TYPE[to], f"reduced to {to.value}", nullable=True),
                )
        if facts.local_copy:
            naive = pyarrow.timestamp("us")
            stored += (one(f"{self.name}_local", naive, "as delivered, local time of the sender", nullable=True),)
        if facts.flag:
            text = facts.flag.description
            stored += (StoredColumn(facts.flag.name, pyarrow.bool_(), True, False, facts.hashed, self.name, text),)
        return stored


# ---------------------------------------------------------------------------------------------- senders and feeds


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
        ignore: regular expressions of keys that are no dumps and are passed over silently.
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
    ignore: tuple[str, ...] = (r"(^|/)in_progress/", r"\.tmp$", r"(^|/)\._", r"(^|/)_SUCCESS$", r"/$", r"\.sha256$")
    reporting_schema: str | None = None
    smallest_cell: int = 11


@dataclass(frozen=True)
class Csv:
    """How a sender writes CSV. Quoted empty text stays '', unquoted empty text is NULL.

    Attributes:
        delimiter: one character between fields.
        quote: one character around fields.
        escape: one character before a quote within a field; None where quotes are doubled.
        encoding: of the text, a Python codec name; a byte order mark is skipped.
        nulls: unquoted spellings of NULL.
        decimal: decimal mark of numbers.
        thousands: mark between groups of digits, removed before the cast; empty for none.
        dates: strptime forms of dates besides ISO, such as "%d/%m/%Y"; tried in order.
        timestamps: strptime forms of naive time stamps besides ISO.
    """

    delimiter: str = ","
    quote: str = '"'
    escape: str | None = None
    encoding: str = "utf-8"
    nulls: tuple[str, ...] = ("", "\\N")
    decimal: str = "."
    thousands: str = ""
    dates: tuple[str, ...] = ()
    timestamps: tuple[str, ...] = ()


@dataclass(frozen=True)
class Parquet:
    """Parquet, whose physical types may differ from file to file: each value is brought to the contract's type."""


@dataclass(frozen=True)
class JsonLines:
    """One JSON object a line; UTF-8. Keys are columns; an absent key and null are NULL."""


Format = Csv | Parquet | JsonLines


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
        unique: columns unique over the table besides the key, when not NULL; each listed column alone.
        refuse: regular expressions of column names whose presence refuses the dump (it was not decrypted).
        document: a column of JSON documents that fills columns a dump lacks.
        budget: how many rejects a load may have.
        format: how the dumps are written.
        names: how header names are matched: "exact", or "loose": ignoring case, blanks and underscores.
        drift: what unknown, missing or retyped columns do: "allow" loads and tells, "hold" asks a person, "freeze"
            refuses the dump.
        bi: the view for BI; None for none.
        soft_delete: boolean column by which the sender marks a row as deleted; the row is kept.
        hidden_from_bi: boolean columns; rows where one is true are left out of views for BI, as are deleted ones.
        volume_tolerance: a dump may hold between 1/x and x times the median rows of its last dumps.
    """

    sender: Sender
    dataset: str
    model: type[FeedModel]
    file_names: tuple[str, ...]
    version: str | None = None
    replaced_set: ReplacedSet | None = None
    unique: tuple[str, ...] = ()
    refuse: tuple[str, ...] = ()
    document: Document | None = None
    budget: Budget = Budget()
    format: Format = Csv()
    names: Literal["exact", "loose"] = "exact"
    drift: Literal["allow", "hold", "freeze"] = "allow"
    bi: BiView | None = None
    soft_delete: str | None = None
    hidden_from_bi: tuple[str, ...] = ()
    volume_tolerance: float = 5.0

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
                facts=cast("ColumnFacts", (column_schema.metadata or {})[_FACTS]),
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
            "format": f"{self.format}",
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


def treatment_text(treatment: Treatment) -> str:
    """A treatment in a word or two, for dictionaries, tags and the fingerprint."""
    match treatment:
        case Keep():
            return "keep"
        case Drop():
            return "drop"
        case Token(family=family, upper=upper):
            return "token" + (f" ({family})" if family else "") + (" of upper case" if upper else "")
        case Reduce(to=to):
            return f"reduce to {to.value}"
