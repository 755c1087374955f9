"""Drift: how a dump's columns differ from the contract and from the feed's previous dump, and what to change. Pure.

Belongs here: comparing names and types, and wording the difference. Does not belong here: what follows from it (the
feed's policy, applied in `flow`). Names and types only: no value of a record.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

from claims_pipeline.feeds.contract import Feed

_LIKE = 0.6
"""Similarity (difflib's ratio) from which a column that went and one that came are taken for one that was renamed."""


@dataclass(frozen=True)
class Delivered:
    """Columns of a dump.

    Attributes:
        columns: names as delivered, in order.
        types: physical types by contract column, of formats that have them (Parquet).
    """

    columns: tuple[str, ...]
    types: Mapping[str, str]


@dataclass(frozen=True)
class Change:
    """One difference.

    Attributes:
        kind: "renamed", "added", "dropped", "retyped" or "reordered".
        text: a line for people.
        proposal: what to write into the contract; empty where nothing is to be done.
    """

    kind: str
    text: str
    proposal: str = ""

    @property
    def moves(self) -> bool:
        """Whether what is loaded changes by it: not by another order or another physical type."""
        return self.kind in ("renamed", "added", "dropped")


def compare(feed: Feed, now: Delivered, before: Delivered | None) -> list[Change]:
    """What differs in a dump.

    Args:
        feed: the contract.
        now: the dump.
        before: the feed's previous dump; None for the first: then only columns that the contract does not know differ.
    """
    known = {spelling: c.name for c in feed.columns for spelling in (c.name, *c.facts.aliases)}
    if feed.names == "loose":
        known |= {loose(spelling): name for spelling, name in known.items()}

    def contract_name(column: str) -> str | None:
        return known.get(column) or (known.get(loose(column)) if feed.names == "loose" else None)

    came = [c for c in now.columns if contract_name(c) is None]
    past = before.columns if before else ()
    gone = [c for c in past if c not in now.columns and contract_name(c) is not None]
    new_to_past = [c for c in came if c not in past]
    changes: list[Change] = []
    for column in gone:
        close = difflib.get_close_matches(column, new_to_past, n=1, cutoff=_LIKE)
        if close:
            new_to_past.remove(close[0])
            came.remove(close[0])
            name = contract_name(column)
            text = f"renamed? {column} -> {close[0]}"
            changes.append(Change("renamed", text, f'{name}: add aliases=("{close[0]}",), if it is the same column'))
        else:
            changes.append(Change("dropped", f"dropped: {column}", "ask the sender; an optional column becomes NULL"))
    changes += [Change("added", f"added: {column}", _proposed(column)) for column in came]
    if before:
        changes += _retyped(now, before)
        both = [c for c in past if c in now.columns]
        if not changes and [c for c in now.columns if c in past] != both:
            changes.append(Change("reordered", "the columns come in another order"))
    return changes


def loose(name: str) -> str:
    """A header name without case, blanks and underscores."""
    return name.lower().replace("_", "").replace(" ", "")


def _retyped(now: Delivered, before: Delivered) -> list[Change]:
    return [
        Change(
            "retyped", f"retyped: {column} {before.types[column]} -> {type_}", "nothing, while its values can be cast"
        )
        for column, type_ in now.types.items()
        if before.types.get(column, type_) not in (type_, "null") and type_ != "null"
    ]


def _proposed(column: str) -> str:
    return f'{column}: Text = column("...", pii=Pii.SPECIAL, treatment=Drop())'
