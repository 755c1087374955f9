"""Columns of a contract: types, classes of personal data, treatments, and what is stored of each column.

Belongs here: what can be said of one column, and what follows from it alone. Does not belong here: senders, files and
feeds (contract.py, which hands all of this out: sender modules import from there), and the work itself.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Annotated, Any, Literal, TypeAlias

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
    looked_at: bool
    """Whether the contract says the treatment itself, rather than leaving it to the default (lint.py)."""


FACTS = "claims_pipeline"
"""Key of the facts in a pandera column's metadata."""


Declared: TypeAlias = Any
"""What `column` gives: pandera types a field as Any, so that `name: Text = column(...)` is what a model may say."""

CheckArgument: TypeAlias = Any
"""An argument of a pandera check, passed through: a bound, a list, a pattern, whatever the check takes."""


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
    **checks: CheckArgument,
) -> Declared:
    """Declare a column of a feed's model.

    Args:
        description: meaning, for the dictionary and the table's comments.
        pii: class of personal data.
        treatment: what happens to the value before anything is written outside the raw archive. May be left out
            for class NONE and PSEUDONYMOUS (kept); every other class must say. `Keep()` on a column of class NONE
            says that somebody looked: it is not personal, whatever its name suggests (lint.py).
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
    looked_at = treatment is not None
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
        looked_at=looked_at,
    )
    return pa.Field(
        nullable=not key if nullable is None else nullable,
        description=description,
        metadata={FACTS: facts},
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
        pii: class of personal data that is left in it after treatment: it decides who may read it.
    """

    name: str
    arrow: pyarrow.DataType
    nullable: bool
    key: bool
    hashed: bool
    source: str
    description: str
    pii: Pii


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
        left = class_left(facts.pii, facts.treatment)

        def one(name: str, arrow: pyarrow.DataType, note: str, *, nullable: bool = nullable) -> StoredColumn:
            text = f"{self.description} ({note})" if note else self.description
            return StoredColumn(name, arrow, nullable, facts.key, facts.hashed, self.name, text, left)

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
            flag = StoredColumn(facts.flag.name, pyarrow.bool_(), True, False, facts.hashed, self.name, text, Pii.NONE)
            stored += (flag,)
        return stored


def class_left(pii: Pii, treatment: Treatment) -> Pii:
    """The class of personal data that a value still is after treatment.

    A token stands for a person and no more; a coarser form identifies together with others at most; what is kept stays
    what it was.
    """
    match treatment:
        case Keep() | Drop():
            return pii
        case Token():
            return min(pii, Pii.PSEUDONYMOUS)
        case Reduce():
            return min(pii, Pii.QUASI)


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
