"""Kinds of columns that Indici's extracts share, so that a contract says only what differs.

Belongs here: columns and rules that recur in several datasets. Does not belong here: any dataset.

What is the same everywhere (feeds.md 4.1): ids are numbers, unique within a practice only as far as one trusts, so
(id, practice_id) is the key; times are naive and local; 1900-01-01 stands for "unknown"; the home's coordinates, the
names of staff and the ids of a former system (MedTech) stand in nearly every extract, and are never read.
"""

from __future__ import annotations

import datetime as dt
import types
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import pandas as pd
import pandera.pandas as pa

from claims_pipeline.feeds.contract import (
    Declared,
    Drop,
    FeedModel,
    Keep,
    Pii,
    Reduce,
    Reduction,
    Text,
    Treatment,
    column,
)

UNKNOWN_DATE = ("1900-01-01",)
PRACTICE_ID = r"^[0-9A-Za-z]{1,16}$"
DOMICILE = r"^[0-9]{4}$"
SNOMED = r"^[0-9]{6,18}$"
# A far future time would win over every later version for ever. Two days: where a name holds a date only, the dump's
# stamp is that day's midnight, and its rows may be a day younger.
NEWEST = dt.timedelta(days=2)

_NEVER_READ: Mapping[Pii, str] = {
    Pii.DIRECT: "inserted_by updated_by logging_user_name permanent_address_latitude permanent_address_longitude",
    Pii.NONE: """
        per_org_id loaded_date_time med_tech_id patient_med_tech_id user_logging_id inserted_by_id updated_by_id
    """,
}

M = TypeVar("M", bound=FeedModel)


class Changing(FeedModel):
    """A row with the times at which it was made and last changed."""

    @pa.dataframe_check(name="updated_not_before_inserted", raise_warning=True)
    def updated_not_before_inserted(cls, df: pd.DataFrame) -> pd.Series:
        """A row cannot have changed before it was made."""
        return (df["updated_at"] >= df["inserted_at"]).fillna(value=True)


def dropping(names: Mapping[Pii, str]) -> Callable[[type[M]], type[M]]:
    """Add columns that are known and never read, after those that are.

    They are declared so that their arrival is no drift, and so that the dictionary tells what is left out. Those that
    stand in nearly every extract are added by themselves.

    Args:
        names: by class of personal data, names separated by blanks.
    """

    def added(model: type[M]) -> type[M]:
        columns = {
            name: column(name.replace("_", " ").capitalize(), pii=pii, treatment=Drop())
            for group in (names, _NEVER_READ)
            for pii, words in group.items()
            for name in words.split()
        }
        kinds = dict.fromkeys(columns, Text)
        body = {"__doc__": model.__doc__, "__module__": model.__module__, "__annotations__": kinds, **columns}
        return types.new_class(model.__name__, (model,), exec_body=lambda namespace: namespace.update(body))

    return added


def own_id(description: str, *, aliases: Sequence[str] = ()) -> Declared:
    """The dataset's own id; half of its key."""
    return column(description, pii=Pii.PSEUDONYMOUS, key=True, ge=1, aliases=aliases)


def practice() -> Declared:
    """The practice; the other half of every key."""
    return column("Practice", key=True, str_matches=PRACTICE_ID)


def reference(description: str, *, always: bool = False) -> Declared:
    """The id of a row of another dataset; `always` where a row without it makes no sense."""
    if always:
        return column(description, pii=Pii.PSEUDONYMOUS, required=True, nullable=False, ge=1)
    return column(description, pii=Pii.PSEUDONYMOUS, ge=1, raise_warning=True)


def mark(
    description: str, *, required: bool = False, pii: Pii = Pii.NONE, treatment: Treatment | None = None
) -> Declared:
    """Yes or no; `required` where a dump without the column would hide something (deletions, confidential rows)."""
    return column(description, pii=pii, treatment=treatment or _kept(pii), required=required)


def word(
    description: str,
    *,
    pii: Pii = Pii.NONE,
    treatment: Treatment | None = None,
    longest: int = 100,
    aliases: Sequence[str] = (),
) -> Declared:
    """A word chosen from a list that is not known; longer than `longest` characters it looks like free text."""
    return column(
        description,
        pii=pii,
        treatment=treatment or _kept(pii),
        str_length={"max_value": longest},
        raise_warning=True,
        aliases=aliases,
    )


def coded(description: str, pattern: str, *, pii: Pii = Pii.NONE, aliases: Sequence[str] = ()) -> Declared:
    """A code as text: leading zeros and 18 digits survive. One lost to a float on the way becomes NULL."""
    return column(
        description,
        pii=pii,
        treatment=_kept(pii),
        str_matches=pattern,
        raise_warning=True,
        invalid="null",
        aliases=aliases,
    )


def day(description: str) -> Declared:
    """A date."""
    return column(description, pii=Pii.QUASI, treatment=Keep(), sentinels=UNKNOWN_DATE, invalid="null")


def month(description: str, *, into: str, aliases: Sequence[str] = ()) -> Declared:
    """A date of which the month is stored."""
    treatment = Reduce(Reduction.MONTH, into=into)
    return column(
        description, pii=Pii.QUASI, treatment=treatment, sentinels=UNKNOWN_DATE, invalid="null", aliases=aliases
    )


def moment(description: str) -> Declared:
    """A time, naive and local at the sender."""
    return column(description, pii=Pii.QUASI, treatment=Keep(), sentinels=UNKNOWN_DATE, invalid="null")


def version() -> Declared:
    """When the row last changed: what decides between two of its versions, so it must be there.

    The hour of a clock change is ambiguous, so the naive value is stored beside it. 1900-01-01 is no sentinel here: it
    is a version like any other, and the oldest.
    """
    return column("Last changed at", required=True, nullable=False, max_ahead=NEWEST, local_copy=True)


def figure(description: str) -> Declared:
    """An amount or number; what cannot be read is NULL, and the row stays."""
    return column(description, invalid="null")


def _kept(pii: Pii) -> Keep | None:
    """Kept; not said for columns that are not personal, so that `feeds lint` looks at their names."""
    return Keep() if pii else None


def minutes(description: str) -> Declared:
    """A length of time within a day, in minutes."""
    return column(description, in_range={"min_value": 0, "max_value": 1440})
