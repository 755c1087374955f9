"""One report on a page: what it says, its choices, its charts, its rows as a file.

Belongs here: what is the same for every report of every sender. Does not belong here: which reports a page has.
Every choice is in the page's address, so that a view can be shared.
"""

from __future__ import annotations

import datetime as dt

import pandas as pd
import streamlit as st

from claims_pipeline.dashboard import charts, reports, words
from claims_pipeline.dashboard.reports import GRAINS, SMALL, Report, Selection
from claims_pipeline.dashboard.spreadsheet import to_csv

PERIODS = {"30 days": 30, "90 days": 90, "12 months": 365, "5 years": 1_826, "All": None}
"""Choices of a period, in days up to today."""
BETWEEN = "Between"
_AUTO = "auto"


def choose_period(*, today: dt.date, default: str) -> Selection:
    """The period that a page shows, as its reader chooses it."""
    chosen = st.segmented_control(
        "Period", [*PERIODS, BETWEEN], default=default, required=True, key="period", bind="query-params"
    )
    if chosen == BETWEEN:
        between = st.date_input(
            "First and last day",
            value=(today - dt.timedelta(days=89), today),
            key="between",
            bind="query-params",
            format="YYYY-MM-DD",
            width=300,
        )
        days = between if isinstance(between, tuple) else (between,)
        if len(days) == 2:
            return Selection(days[0], days[1])
        return Selection(days[0] if days else None, today)
    length = PERIODS.get(chosen or default)
    return Selection(today - dt.timedelta(days=length - 1) if length else None, today)


@st.fragment
def show_report(report: Report, selection: Selection, *, today: dt.date) -> None:
    """Draw a report; its own choices run this part of the page alone."""
    with st.container(border=True, key=f"report_{report.name}"):
        st.subheader(words.heading(report), anchor=report.name)
        age, old = words.as_of(report, today=today)
        sentence = f"{report.title.rstrip('.')}. {words.sentence(age)}. {words.protection(report)}"
        st.caption(f":orange-badge[older than it should be] {sentence}" if old else sentence)
        group, grain, value, selection = _choices(report, selection, today=today)
        parts = reports.parts(report, selection)
        if parts.empty:
            _nothing(report, selection)
            return
        grain = grain or _readable(report, selection, parts)
        _figures(report, selection, parts, grain=grain, group=group, value=value)


def _choices(report: Report, selection: Selection, *, today: dt.date) -> tuple[str | None, str | None, str, Selection]:
    """What the reader chose: group, length of period (None: whatever is readable), figure, filters."""
    group, value = (report.groups[0] if report.groups else None), report.counted
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if len(report.groups) > 1:
            group = st.segmented_control(
                "By", report.groups, default=group, required=True, format_func=words.label,
                key=f"{report.name}_by", bind="query-params",
            )  # fmt: skip
        finer = GRAINS[GRAINS.index(report.grain) : -1]
        grain = st.segmented_control(
            "Per", (_AUTO, *finer), default=_AUTO, required=True, format_func=words.per,
            key=f"{report.name}_per", bind="query-params",
        )  # fmt: skip
        if report.sums:
            value = st.segmented_control(
                "Figure", (report.counted, *report.sums), default=value, required=True, format_func=words.label,
                key=f"{report.name}_figure", bind="query-params",
            )  # fmt: skip
        chosen = {}
        if report.groups:
            with st.popover("Filter", icon=":material/filter_list:"):
                for column, names in reports.names_of_groups(report).items():
                    chosen[column] = st.multiselect(
                        words.label(column),
                        names,
                        key=f"{report.name}_{column}",
                        bind="query-params",
                        placeholder="All",
                    )
        selection = Selection(selection.since, selection.until, {c: tuple(n) for c, n in chosen.items() if n})
        st.download_button(
            "CSV",
            lambda: to_csv(reports.rows(report, selection)),
            file_name=f"{report.name}_{selection.since or 'all'}_{min(selection.until, today)}.csv",
            mime="text/csv",
            icon=":material/download:",
            on_click="ignore",
            key=f"{report.name}_csv",
            help="The rows behind this view, as a file for a spreadsheet.",
        )
    return group, None if grain == _AUTO else grain, value or report.counted, selection


def _figures(
    report: Report, selection: Selection, parts: pd.DataFrame, *, grain: str, group: str | None, value: str
) -> None:
    column = "counted" if value == report.counted else value
    coarser = parts[parts["grain"].map(GRAINS.index) > GRAINS.index(grain)]
    total, apart = int(parts["counted"].sum()), int(coarser["counted"].sum())
    over_time = reports.by_period(report, selection, grain=grain, group=group).dropna(subset=[column])
    said = f"**{words.number(total)}** {words.label(report.counted).lower()}"
    if apart:
        said += f", of which **{words.number(apart)}** are merged over more than a {grain} to protect people"
    if any(SMALL not in names for names in selection.chosen.values()):
        said += f". Filtered: more of the chosen groups may be among {SMALL}"
    st.markdown(f"{said}. Drawn per {grain}.")
    wide, narrow = st.columns([5, 3], gap="medium") if group else (st.container(), None)
    with wide:
        if over_time.empty:
            st.info(
                f"All are in groups too small to be shown per {grain}: they are counted together over longer periods. "
                "Choose a longer length of period, or see the totals.",
                icon=":material/visibility_off:",
            )
        else:
            st.altair_chart(
                charts.over_time(
                    over_time, _bands(coarser, selection, report, grain), grain=grain, counted=value, value=column
                ),
                alt=f"{words.heading(report)}, {words.label(value)} per {grain}",
            )
    if narrow is not None and group is not None:
        with narrow:
            largest = reports.ranked(report, selection, group=group, value=value)
            rest = int(largest["rest"].max()) if not largest.empty else 0
            st.caption(f"{words.label(value)} by {words.label(group).lower()}" + (f", {rest} more" if rest else ""))
            st.altair_chart(
                charts.ranking(largest, counted=value), alt=f"{words.heading(report)} by {words.label(group)}"
            )


def _bands(coarser: pd.DataFrame, selection: Selection, report: Report, grain: str) -> pd.DataFrame:
    """Stretches of time of which some is counted in no single period of the chart."""
    lines = []
    for line in coarser.dropna(subset=["period"]).to_dict("records"):
        start = pd.Timestamp(line["period"])
        end = start + (pd.DateOffset(months=1) if line["grain"] == "month" else pd.DateOffset(years=1))
        if selection.since is not None:
            start = max(start, pd.Timestamp(selection.since))
        end = min(end, pd.Timestamp(selection.until) + pd.Timedelta(days=1))
        said = f"{words.number(line['counted'])} {words.label(report.counted).lower()} of this {line['grain']}"
        lines.append({"start": start, "end": end, "text": f"{said} are in no single {grain}"})
    return pd.DataFrame(lines, columns=["start", "end", "text"])


def _readable(report: Report, selection: Selection, parts: pd.DataFrame) -> str:
    """The length of period that is drawn unless another is chosen: a longer one where days are mostly hidden."""
    days = (selection.until - selection.since).days + 1 if selection.since else None
    grain = words.default_grain(report, days=days)
    place = parts["grain"].map(GRAINS.index)
    while (
        grain not in ("year", "all")
        and 2 * parts.loc[place <= GRAINS.index(grain), "counted"].sum() < parts["counted"].sum()
    ):
        grain = GRAINS[GRAINS.index(grain) + 1]
    return grain


def _nothing(report: Report, selection: Selection) -> None:
    """Say why there is nothing to see."""
    if selection.chosen:
        said = "Nothing matches these filters in this period. Take one out, or choose a longer period."
    elif report.as_of is None:
        said = "Not computed yet. Reports are made after loads; `claims-pipeline reports refresh` makes them now."
    elif selection.since is not None and report.as_of < selection.since:
        said = f"Nothing in this period: the report is as of {words.day(report.as_of)}. Choose a longer period."
    else:
        said = (
            f"Nothing is shown: there is nothing in this period, or of fewer than {report.smallest_cell} people, who "
            "are protected. That is not the same as zero."
        )
    st.info(said, icon=":material/visibility_off:")
