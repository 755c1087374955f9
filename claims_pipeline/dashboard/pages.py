"""The pages of senders, and the page about it all.

Belongs here: which reports a page has, and in which order. Does not belong here: how one is drawn (panel.py), the
operations page (operations.py).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import pandas as pd
import streamlit as st

from claims_pipeline.dashboard import words
from claims_pipeline.dashboard.panel import choose_period, show_report
from claims_pipeline.dashboard.reports import Report


def show_sender(sender: str, title: str, found: Sequence[Report], *, today: dt.date) -> None:
    """All reports of a sender."""
    st.title(words.PAGE_TITLES.get(sender, title), anchor=False)
    st.caption(f"{title}. Counts without identifiers; groups of few people are merged (see About).")
    mine = sorted((r for r in found if r.sender == sender), key=_place)
    if not mine:
        st.info(
            "No report yet. `claims-pipeline migrate` brings the database to this version, `claims-pipeline reports "
            "refresh` computes reports.",
            icon=":material/hourglass_empty:",
        )
        return
    default = "90 days" if any(report.grain == "day" for report in mine) else "12 months"
    selection = choose_period(today=today, default=default)
    for report in mine:
        show_report(report, selection, today=today)


def show_about(found: Sequence[Report], *, today: dt.date) -> None:
    """What is hidden and why, how old every report is, and what the words mean."""
    st.title("About", anchor=False)
    st.markdown(
        "These pages show counts from the tables of this pipeline. They read the schema `bi` under a login "
        "that can read nothing else: no row of a person, no name and no token can be shown here."
    )
    st.subheader("What is hidden, and why", anchor=False)
    st.markdown(words.HIDDEN)
    st.markdown(
        "US reports show no figure of fewer than 11 people (the rule of the Centers for Medicare & Medicaid Services); "
        "New Zealand's none of fewer than 6, and its counts are rounded at random to multiples of 3, so that sums may "
        "differ by a few. Every row counts people once: adding rows is safe, subtracting totals finds nobody."
    )
    st.subheader("Reports and their age", anchor=False)
    if found:
        table = pd.DataFrame(
            {
                "Report": [words.heading(report) for report in found],
                "As of": [report.as_of for report in found],
                "Age": [_age(report, today) for report in found],
                "Smallest cell": [report.smallest_cell for report in found],
                "Rounding": [f"to {r.rounding}" if r.rounding > 1 else "none" for r in found],
                "Computed (UTC)": [f"{r.refreshed_at:%Y-%m-%d %H:%M}" if r.refreshed_at else "" for r in found],
                "What it counts": [report.title for report in found],
                "View": [f"bi.{report.name}" for report in found],
                "Sender": [report.sender for report in found],
            }
        )
        st.dataframe(table, hide_index=True, alt="Reports with their age and protection")
    else:
        st.info("No report was computed yet.", icon=":material/hourglass_empty:")
    st.subheader("Words", anchor=False)
    st.markdown("\n".join(f"- **{word}**: {meaning}" for word, meaning in words.GLOSSARY.items()))
    st.subheader("More", anchor=False)
    st.markdown(
        "The data dictionary (every table and column, its meaning, treatment and who may see it) is in "
        "`docs/dictionary` of the project; `claims-pipeline feeds show <feed>` prints the same. The views can be read "
        "by Metabase, Superset, Power BI, Excel and psql as well: `docs/bi-tools.md`."
    )


def _age(report: Report, today: dt.date) -> str:
    if report.as_of is None:
        return "not computed"
    days = (today - report.as_of).days
    return "today" if days <= 0 else f"{days} day{'' if days == 1 else 's'}"


def _place(report: Report) -> tuple[int, str]:
    return (words.ORDER.index(report.name) if report.name in words.ORDER else len(words.ORDER), report.title)
