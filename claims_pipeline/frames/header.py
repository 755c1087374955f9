"""The header of a dump against the contract: which delivered column is which, what is missing, refused or new.

Belongs here: names only. Does not belong here: reading bytes, and anything about values.

A header may be no header: in a file without one its first line is a person's data. So a delivered name is quoted in a
message or a report only when it looks like an identifier *and* the line holds all required columns of the contract.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from claims_pipeline.errors import BadDump
from claims_pipeline.feeds.contract import Column, Drop, Feed

SHOWABLE = re.compile(r"[A-Za-z][A-Za-z0-9_ ]{0,62}")


@dataclass(frozen=True)
class Layout:
    """A delivered header, understood.

    Attributes:
        delivered: the names as delivered, in order.
        positions: place in the dump by contract column, of the columns that are read (present and not dropped).
        copies: further places of these, of columns that were delivered more than once.
        places: first place of every contract column that was delivered, dropped ones included.
        absent: contract columns that are read but were not delivered; all optional.
        drift: "added: x" and "missing: y" lines.
        seen: the delivered names, those unfit to be shown replaced by "(column 7)".
    """

    delivered: tuple[str, ...]
    positions: Mapping[str, int]
    copies: Mapping[str, tuple[int, ...]]
    places: Mapping[str, int]
    absent: tuple[str, ...]
    drift: tuple[str, ...]
    seen: tuple[str, ...]


NOTHING = Layout((), {}, {}, {}, (), (), ())
"""The layout of an empty dump."""


def understand(delivered: tuple[str, ...], feed: Feed, *, may_repeat: bool = False) -> Layout:
    """Match a header with the contract, by name or alias; by `feed.names` exactly or loosely.

    A name that occurs twice is an error only where it is read: two copies of a dropped or unknown column change
    nothing.

    Args:
        delivered: the names.
        feed: the contract.
        may_repeat: whether columns that are read may have copies; whoever reads them must compare.

    Raises:
        BadDump: contract.refused_column, contract.missing_column or contract.duplicate_column.
    """
    places = places_of(delivered, feed)
    missing = [c.name for c in feed.columns if c.facts.required and not places[c.name]]
    shown = tuple(
        name if not missing and SHOWABLE.fullmatch(name) else f"(column {i})" for i, name in enumerate(delivered, 1)
    )
    _refuse_ciphertext(delivered, shown, feed)
    if missing:
        raise BadDump(
            "contract.missing_column",
            f"{feed.name}: the header lacks {_list(missing)}; it has {len(delivered)} columns, "
            f"{sum(map(bool, places.values()))} of them known to the contract",
        )
    read = [c for c in feed.columns if _is_read(c)]
    doubled = [c.name for c in read if len(places[c.name]) > 1]
    if doubled and not may_repeat:
        raise BadDump("contract.duplicate_column", f"{feed.name}: the header names more than once: {_list(doubled)}")

    known = {i for where in places.values() for i in where}
    absent = tuple(c.name for c in read if not places[c.name])
    added = dict.fromkeys(shown[i] for i in range(len(delivered)) if i not in known)
    return Layout(
        delivered=delivered,
        positions={c.name: places[c.name][0] for c in read if places[c.name]},
        copies={name: tuple(places[name][1:]) for name in doubled},
        places={name: where[0] for name, where in places.items() if where},
        absent=absent,
        drift=(*(f"added: {name}" for name in added), *(f"missing: {name}" for name in absent)),
        seen=shown,
    )


def places_of(delivered: tuple[str, ...], feed: Feed) -> dict[str, list[int]]:
    """Where each contract column was delivered. An exact name goes before a loose one."""
    exact = {name: c.name for c in feed.columns for name in (*c.facts.aliases, c.name)}
    loose = {_loosely(name): column for name, column in exact.items()} if feed.names == "loose" else {}
    places: dict[str, list[int]] = {c.name: [] for c in feed.columns}
    for i, name in enumerate(delivered):
        if column := exact.get(name) or loose.get(_loosely(name)):
            places[column].append(i)
    return places


def _loosely(name: str) -> str:
    """PatientID, patient_id and Patient Id are one."""
    return re.sub(r"[\s_]", "", name).casefold()


def _is_read(column: Column) -> bool:
    """Whether the column is converted and validated: not when it is dropped, unless it decides which rows count."""
    return bool(column.facts.only) or not isinstance(column.facts.treatment, Drop)


def _refuse_ciphertext(delivered: tuple[str, ...], shown: tuple[str, ...], feed: Feed) -> None:
    # In whatever case, and among blanks: a pattern that a spelling slips by would let ciphertext through as "unknown".
    refused = [re.compile(pattern, re.IGNORECASE) for pattern in feed.refuse]
    places = [i for i, name in enumerate(delivered) if any(pattern.search(name.strip()) for pattern in refused)]
    if places:
        raise BadDump(
            "contract.refused_column",
            f"{feed.name}: the dump is not decrypted; it holds {_list([shown[i] for i in places])}",
        )


def _list(names: list[str]) -> str:
    shown = ", ".join(names[:10])
    return f"{shown} and {len(names) - 10} more" if len(names) > 10 else shown
