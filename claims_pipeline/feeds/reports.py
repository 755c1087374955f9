"""Reports: the questions that people ask of a sender's tables, each answered by a view `bi.<name>` of counts.

Belongs here: what a report counts, of whom, and by what. Does not belong here: how small groups are protected and how a
report is made (`warehouse.bi`).

A report is one SQL query, its facts: a row for each thing that is counted. What people see is made from it such that no
number tells of fewer persons than the sender's smallest cell (docs/small-cells.md).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from claims_pipeline.feeds.contract import Feed, Sender

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
RESERVED = ("period", "grain", "day", "person", "persons", "number")
"""Columns that every report has, or that its making needs."""


@dataclass(frozen=True)
class Report:
    """A question, and the facts that answer it.

    Attributes:
        sender: whose tables are asked; its smallest cell, rounding and time zone hold.
        name: of the view in schema `bi`.
        title: what it says, a sentence for people.
        population: what is counted, as a name. Reports of one population count the same things, so that a reader could
            subtract one from the other: they may not have a group or a sum in common.
        counted: the count's column, a plural ("submissions").
        reads: datasets that the facts are taken from.
        facts: SQL of one row per counted thing, with columns `day` (date; NULL: not counted), `person` (text, whose
            data it is), the groups (text, NULL: not given) and the sums (numeric). `%(as_of)s` is the date for which it
            is asked, in the sender's time zone.
        groups: columns of the facts, the coarsest first: small groups are merged from the last on.
        grain: time of one row: a day, or a month. Reports of one population may differ in it.
        sums: columns of the facts that are added up, beside the count.
    """

    sender: Sender
    name: str
    title: str
    population: str
    counted: str
    reads: tuple[str, ...]
    facts: str
    groups: tuple[str, ...] = ()
    grain: Literal["day", "month"] = "month"
    sums: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raise ValueError for a declaration that contradicts itself."""
        columns = (*self.groups, self.counted, *self.sums)
        if wrong := [name for name in (self.name, *columns) if not _NAME.fullmatch(name)]:
            raise ValueError(f"report {self.name}: no names of SQL: {wrong}")
        if len(set(columns)) < len(columns) or set(columns) & set(RESERVED):
            raise ValueError(f"report {self.name}: columns are named twice, or like one that every report has")


def report_of(feed: Feed, kin: Iterable[Feed]) -> Report | None:
    """The report of a contract's `BiView`: rows by month and groups; None where it has none.

    Rows that the sender marked as deleted, and those that the contract hides, are left out.

    Args:
        feed: the contract.
        kin: the sender's feeds; without those that say whose a row is there is no report.
    """
    view = feed.bi
    if view is None:
        return None
    kin = tuple(kin)
    if not _complete(feed, kin):
        return None
    hidden = (*([feed.soft_delete] if feed.soft_delete else []), *feed.hidden_from_bi)
    joins, person = _person(feed, "t", kin)
    groups = "".join(f", t.{_quoted(name)}::text as {_quoted(name)}" for name in view.by)
    conditions = "".join(f" and t.{_quoted(name)} is not true" for name in hidden)
    return Report(
        sender=feed.sender,
        name=f"{feed.sender.name}_{feed.dataset}",
        title=feed.title,
        population=feed.dataset,
        counted="rows",
        reads=(feed.dataset, *_parents(feed, kin)),
        facts=f"select {_day(feed, view.month_of)} as day, {person} as person{groups}"  # noqa: S608 - of contracts
        f" from {_quoted(feed.sender.name)}.{_quoted(feed.dataset)} t{joins} where true{conditions}",
        groups=view.by,
    )


def check_reports(reports: Iterable[Report]) -> None:
    """Raise ValueError where two reports share a name, or a reader could recover what one hides from the other.

    Two partitions of one population that group by the same column have totals in common: what one hides is the other's
    total less what is shown.
    """
    named: dict[str, Report] = {}
    grouped: dict[tuple[str, str, str], Report] = {}
    days: dict[tuple[str, str], Report] = {}
    for report in reports:
        if report.name in named:
            raise ValueError(f"two reports are named {report.name}")
        named[report.name] = report
        population = (report.sender.name, report.population)
        for column in (*report.groups, *report.sums):
            other = grouped.setdefault((*population, column), report)
            if other is not report:
                raise ValueError(
                    f"reports {other.name} and {report.name} both tell {report.population} by {column}: "
                    "what one hides could be recovered from the other"
                )
        if report.grain == "day" and days.setdefault(population, report) is not report:
            raise ValueError(f"reports {days[population].name} and {report.name} both tell {report.population} by day")


def _day(feed: Feed, column: str) -> str:
    """The date of a stored date or time stamp, in the sender's time zone."""
    arrow = next(c.arrow for c in feed.stored if c.name == column)
    if "timestamp" in str(arrow) and arrow.tz:
        return f"(t.{_quoted(column)} at time zone '{feed.sender.timezone}')::date"
    return f"t.{_quoted(column)}::date"


def _parents(feed: Feed, kin: tuple[Feed, ...]) -> tuple[str, ...]:
    parent = _parent(feed, kin)
    return (parent.dataset, *_parents(parent, kin)) if parent else ()


def _complete(feed: Feed, kin: tuple[Feed, ...]) -> bool:
    if feed.subject is None or feed.subject.of is None:
        return True
    parent = _parent(feed, kin)
    return parent is not None and _complete(parent, kin)


def _parent(feed: Feed, kin: tuple[Feed, ...]) -> Feed | None:
    of = feed.subject.of if feed.subject else None
    return next((other for other in kin if other.dataset == of), None) if of else None


def _person(feed: Feed, alias: str, kin: tuple[Feed, ...]) -> tuple[str, str]:
    """Joins that lead to the row that says whose a row is, and the person as text; a row without one is its own."""
    parent = _parent(feed, kin)
    if parent is None:
        tokens = [f"{alias}.{_quoted(name)}" for name in (feed.subject.tokens if feed.subject else ())]
        return "", f"coalesce({', '.join([*tokens, _joined(alias, feed.key)])})"
    assert feed.subject is not None  # noqa: S101 - it has a parent
    above = f"{alias}p"
    pairs = zip(feed.subject.by, feed.subject.key, strict=True)
    on = " and ".join(f"{above}.{_quoted(key)} = {alias}.{_quoted(by)}" for by, key in pairs)
    joins, person = _person(parent, above, kin)
    join = f" left join {_quoted(parent.sender.name)}.{_quoted(parent.dataset)} {above} on {on}"
    return join + joins, f"coalesce({person}, {_joined(alias, feed.subject.by)})"


def _joined(alias: str, names: tuple[str, ...]) -> str:
    return " || '/' || ".join(f"{alias}.{_quoted(name)}::text" for name in names)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
