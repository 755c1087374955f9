"""The catalogue `bi.reports`, and the queries of one report: by period and group, ranked, filtered, row by row.

Belongs here: SQL on reports, which may be any sender's; names come from the catalogue. Does not belong here: how they
are drawn. A row of a report is a part of one partition of its population, so sums over rows count nobody twice.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd
from psycopg import sql

from claims_pipeline.dashboard.reading import ask

GRAINS = ("day", "month", "year", "all")
"""Lengths of a report's periods, finest first."""

SMALL, UNKNOWN, OTHERS = "(small groups)", "(not given)", "(all others)"
"""Names of groups that are none: merged for protection, NULL, and what a chart has no colour left for."""

TOP_GROUPS = 7
RANKED = 12


@dataclass(frozen=True)
class Report:
    """A line of `bi.reports`.

    Attributes:
        counted: name of the column with the count.
        grain: finest length of its periods.
        groups: columns with names of groups.
        sums: further numeric columns.
        smallest_cell: persons of whom a figure tells at least.
        rounding: counts are rounded at random to multiples of it; 1: they are exact.
        as_of: day for which it was computed; None where it was not yet.
        refreshed_at: when it was computed.
    """

    name: str
    title: str
    sender: str
    counted: str
    grain: str
    groups: tuple[str, ...]
    smallest_cell: int
    rounding: int
    as_of: dt.date | None
    refreshed_at: dt.datetime | None
    sums: tuple[str, ...] = ()

    @property
    def view(self) -> sql.Identifier:
        """The view."""
        return sql.Identifier("bi", self.name)


@dataclass(frozen=True)
class Selection:
    """What of a report is looked at.

    Attributes:
        since: first day; None for all.
        until: last day.
        chosen: names of groups by column; a column that is not named is not filtered.
    """

    since: dt.date | None
    until: dt.date
    chosen: Mapping[str, Sequence[str]] = field(default_factory=dict)


def catalogue() -> list[Report]:
    """Every report, by sender and title. Empty where none was ever made."""
    lines = ask(sql.SQL("select * from bi.reports order by sender, title"))
    numeric = ask(
        sql.SQL(
            "select table_name, column_name from information_schema.columns where table_schema = 'bi'"
            " and data_type in ('numeric', 'bigint', 'integer', 'double precision') order by ordinal_position"
        )
    )
    found = []
    for line in lines.to_dict("records"):
        columns = numeric.loc[numeric["table_name"] == line["report"], "column_name"]
        taken = {line["counted"], *line["groups"]}
        found.append(
            Report(
                name=line["report"],
                title=line["title"],
                sender=line["sender"],
                counted=line["counted"],
                grain=line["grain"],
                groups=tuple(line["groups"]),
                smallest_cell=int(line["smallest_cell"]),
                rounding=int(line["rounding"]),
                as_of=None if pd.isna(line["as_of"]) else line["as_of"],
                refreshed_at=None if pd.isna(line["refreshed_at"]) else line["refreshed_at"],
                sums=tuple(name for name in columns if name not in taken),
            )
        )
    return found


def names_of_groups(report: Report) -> dict[str, list[str]]:
    """Names that occur, by column of groups."""
    if not report.groups:
        return {}
    parts = [
        sql.SQL("select distinct {} as of_column, {} as name from {}").format(
            sql.Literal(group), sql.Identifier(group), report.view
        )
        for group in report.groups
    ]
    found = ask(sql.SQL(" union all ").join(parts) + sql.SQL(" order by 1, 2"))
    return {group: found.loc[found["of_column"] == group, "name"].dropna().tolist() for group in report.groups}


def parts(report: Report, selection: Selection) -> pd.DataFrame:
    """How much is counted at which length of period: grain, period (NULL for the report's own grain), counted."""
    query = sql.SQL(
        "select grain, case when grain <> {own} then period end as period, sum({counted})::bigint as counted"
        " from {view} where {where} group by 1, 2 order by 1, 2"
    ).format(
        own=sql.Literal(report.grain),
        counted=sql.Identifier(report.counted),
        view=report.view,
        where=_where(report, selection),
    )
    return ask(query)


def by_period(report: Report, selection: Selection, *, grain: str, group: str | None) -> pd.DataFrame:
    """period, group, counted and sums, of rows no coarser than `grain`; groups beyond the largest are one."""
    fine = GRAINS[: GRAINS.index(grain) + 1]
    where = sql.SQL("{} and grain = any({})").format(_where(report, selection), sql.Literal(list(fine)))
    name: sql.Composable = sql.SQL("'all'")
    if group:
        top = sql.SQL(
            "select {g} from {view} where {where} and {g} <> all({special}) group by 1 order by sum({counted}) desc, 1"
            " limit {limit}"
        ).format(
            g=sql.Identifier(group),
            view=report.view,
            where=where,
            special=sql.Literal([SMALL, UNKNOWN]),
            counted=sql.Identifier(report.counted),
            limit=sql.Literal(TOP_GROUPS),
        )
        name = sql.SQL(
            "case when {g} = any({special}) or {g} in (select * from top) then {g} else {others} end"
        ).format(g=sql.Identifier(group), special=sql.Literal([SMALL, UNKNOWN]), others=sql.Literal(OTHERS))
        head = sql.SQL("with top as ({}) ").format(top)
    else:
        head = sql.SQL("{}").format(sql.SQL(""))
    sums = sql.SQL("").join(
        sql.SQL(", sum({0})::double precision as {0}").format(sql.Identifier(column)) for column in report.sums
    )
    query = head + sql.SQL(
        "select date_trunc({grain}, period)::date as period, {name} as name, sum({counted})::bigint as counted{sums}"
        " from {view} where {where} group by 1, 2 order by 1, 2"
    ).format(
        grain=sql.Literal(grain),
        name=name,
        counted=sql.Identifier(report.counted),
        sums=sums,
        view=report.view,
        where=where,
    )
    return ask(query)


def ranked(report: Report, selection: Selection, *, group: str, value: str) -> pd.DataFrame:
    """name, value: the largest groups, whatever the period of their rows; `rest`: how many more there are."""
    query = sql.SQL(
        "select name, value, greatest(count(*) over () - {limit}, 0) as rest from ("
        "select {g} as name, sum({value})::double precision as value from {view} where {where} group by 1) t"
        " where value is not null order by value desc, name limit {limit}"
    ).format(
        g=sql.Identifier(group),
        value=sql.Identifier(value),
        view=report.view,
        where=_where(report, selection),
        limit=sql.Literal(RANKED),
    )
    return ask(query)


def rows(report: Report, selection: Selection) -> pd.DataFrame:
    """The report's rows as they are, for a download."""
    columns = ["period", "grain", *report.groups, report.counted, *report.sums]
    query = sql.SQL("select {columns} from {view} where {where} order by {columns}").format(
        columns=sql.SQL(", ").join(map(sql.Identifier, columns)), view=report.view, where=_where(report, selection)
    )
    return ask(query)


def _where(report: Report, selection: Selection) -> sql.Composable:
    """Rows whose period overlaps the selection; those merged over all time have none, and are in every one."""
    conditions = []
    if selection.since is not None:
        conditions.append(
            sql.SQL(
                "(period is null or (period >= date_trunc(case grain when 'all' then 'year' else grain end,"
                " {since}::date)::date and period <= {until}))"
            ).format(since=sql.Literal(selection.since), until=sql.Literal(selection.until))
        )
    for group, names in selection.chosen.items():
        if group in report.groups and names:
            conditions.append(sql.SQL("{} = any({})").format(sql.Identifier(group), sql.Literal(list(names))))
    return sql.SQL(" and ").join([sql.SQL("true"), *conditions])
