"""The operations page: which day of which feed is there, what needs a person, how long loads take.

Belongs here: its layout. Does not belong here: its figures (days.py), its charts (charts.py).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from claims_pipeline.dashboard import charts, days, words
from claims_pipeline.dashboard.panel import PERIODS
from claims_pipeline.dashboard.spreadsheet import to_csv
from claims_pipeline.feeds import Feed

_PERIODS = {name: PERIODS[name] for name in ("30 days", "90 days", "12 months")}
_ALL = "All"


def show_operations(feeds: Sequence[Feed], *, now: dt.datetime) -> None:
    """Draw the page."""
    st.title("Operations", anchor=False)
    status = days.feed_status()
    st.caption(f"What the senders delivered and what became of it, at {now:%Y-%m-%d %H:%M} UTC.")
    if status.empty:
        st.info(
            "Nothing was delivered yet. `make demo` loads a week of invented dumps; `claims-pipeline catch-up` looks "
            "into the inbox.",
            icon=":material/hourglass_empty:",
        )
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        period = st.segmented_control(
            "Period", list(_PERIODS), default="90 days", required=True, key="period", bind="query-params"
        )
        titles = {feed.sender.name: feed.sender.title for feed in feeds}
        senders = sorted({feed.sender.name for feed in feeds} | set(status["sender"]))
        sender = st.segmented_control(
            "Sender", [_ALL, *senders], default=_ALL, required=True, key="sender", bind="query-params",
            format_func=lambda name: titles.get(name, name),
        )  # fmt: skip
    if sender and sender != _ALL:
        status = status[status["sender"] == sender]
        feeds = [feed for feed in feeds if feed.sender.name == sender]
    length = _PERIODS[period or "90 days"] or 90
    since = now.date() - dt.timedelta(days=length - 1)
    only = None if sender == _ALL else sender
    fresh = days.freshness(status, feeds, now=now)
    _headline(fresh)
    _calendar_and_feed(status, feeds, now=now, since=since, sender=only)
    _freshness(fresh)


def _headline(fresh: pd.DataFrame) -> None:
    current = int((fresh["state"] == "Up to date").sum())
    awaited = current + int(fresh["late"].sum())
    person = int(fresh[["held", "refused", "failed"]].to_numpy().sum())
    under_way = int(fresh[["open", "waiting"]].to_numpy().sum())
    columns = st.columns(4)
    columns[0].metric("Feeds up to date", f"{current} of {awaited}", border=True)
    columns[1].metric(
        "Dumps for a person", words.number(person), border=True, help="Held, refused or failed, on any day."
    )
    columns[2].metric("Dumps being loaded", words.number(under_way), border=True)
    columns[3].metric("Rows in quarantine", words.number(int(fresh["quarantined"].sum())), border=True)


def _calendar_and_feed(
    status: pd.DataFrame, feeds: Sequence[Feed], *, now: dt.datetime, since: dt.date, sender: str | None
) -> None:
    found = days.feed_days(since)
    if sender:
        found = found[found["sender"] == sender]
    shown = days.with_missing(found, status, feeds, now=now, since=since)
    with st.container(border=True):
        st.subheader("Delivery days", anchor=False)
        st.caption("A square per feed and day; click one to see its feed below. Blank: nothing due, as on holidays.")
        if shown.empty:
            newest = words.day(status["last_day"].max())
            st.info(f"Nothing in this period: the newest dump is of {newest}. Choose a longer period.")
        else:
            order = shown.drop_duplicates("feed")["dataset"].tolist()
            point = alt.selection_point(name="feed", fields=["feed"], on="click", clear="dblclick", empty=True)
            st.altair_chart(
                charts.calendar(shown, datasets=order, choose=point),
                key="calendar",
                on_select=_take_feed,
                selection_mode=["feed"],
                alt="Calendar of delivery days by feed",
            )
    names = sorted(set(status["feed"]) | {feed.name for feed in feeds})
    feed = st.selectbox("Feed", [_ALL, *names], key="feed", bind="query-params", width=420)
    chosen = None if feed == _ALL else feed
    _rows(shown if chosen is None else shown[shown["feed"] == chosen], chosen)
    left, right = st.columns([1, 1], gap="medium")
    with left:
        _quarantine(sender, chosen)
    with right:
        _times(since, sender, chosen)


def _take_feed() -> None:
    """A click on a square chooses its feed."""
    points = st.session_state["calendar"].get("selection", {}).get("feed", [])
    st.session_state["feed"] = points[0]["feed"] if points else _ALL


def _rows(shown: pd.DataFrame, feed: str | None) -> None:
    with st.container(border=True):
        st.subheader("Rows by verdict", anchor=False)
        loaded = shown[shown["rows_read"].fillna(0) > 0] if "rows_read" in shown else shown
        if loaded.empty:
            st.info("No row was read in this period.")
            return
        read, apart = int(loaded["rows_read"].sum()), int(loaded["rows_quarantined"].sum())
        st.caption(f"{words.number(read)} rows read, {words.number(apart)} set apart ({apart / read:.2%}).")
        st.altair_chart(charts.verdicts(loaded), alt="Rows by verdict and delivery day")
        if feed is None:
            return
        columns = ["delivery_day", "outcome", "verdicts", "dumps", "rows_read", *(f"rows_{v}" for v in days.VERDICTS)]
        table = shown[columns].sort_values("delivery_day", ascending=False)
        table = table.assign(outcome=table["outcome"].map(days.OUTCOMES))
        table.columns = [words.label(name.removeprefix("rows_")) for name in columns]
        st.dataframe(table, hide_index=True, height=260, column_config=_formats(table), alt=f"Delivery days of {feed}")
        st.download_button(
            "CSV", lambda: to_csv(table), file_name=f"{feed.replace('/', '_')}_days.csv", mime="text/csv",
            icon=":material/download:", on_click="ignore", key="days_csv",
        )  # fmt: skip


def _quarantine(sender: str | None, feed: str | None) -> None:
    with st.container(border=True):
        st.subheader("Quarantine by rule", anchor=False)
        rules = days.quarantine(sender, feed)
        if rules.empty:
            st.caption("No row is in quarantine.")
            return
        by_rule = rules.groupby("rule")["rows"].sum().rename_axis("name").reset_index(name="value")
        by_rule = by_rule.sort_values(["value", "name"], ascending=[False, True])
        more = max(0, len(by_rule) - 12)
        latest = rules["latest"].max()
        st.caption(
            f"Open rows by the rule that they broke{f'; {more} more rules' if more else ''}. "
            f"Latest: {latest:%Y-%m-%d %H:%M} UTC. `claims-pipeline quarantine list` goes on."
        )
        st.altair_chart(charts.ranking(by_rule.head(12), counted="rows"), alt="Open rows in quarantine by rule")


def _times(since: dt.date, sender: str | None, feed: str | None) -> None:
    with st.container(border=True):
        st.subheader("Load time", anchor=False)
        times = days.load_times(since, sender, feed)
        if times.empty:
            st.caption("Nothing was loaded in this period.")
            return
        seconds = float(times[["archive", "validation", "load"]].to_numpy().sum())
        st.caption(
            f"{words.number(int(times['loads'].sum()))} loads, {words.number(seconds)} s in all. Seconds by stage, and "
            "below it the median of rows per second."
        )
        st.altair_chart(charts.load_seconds(times), alt="Seconds by stage and delivery day")
        st.altair_chart(charts.rows_per_second(times), alt="Median of rows per second by delivery day")


def _freshness(fresh: pd.DataFrame) -> None:
    with st.container(border=True):
        st.subheader("Freshness", anchor=False)
        late = int(fresh["late"].sum())
        said = "Every feed has what was due." if not late else f"{late} feeds lack a day that was due."
        st.caption(f"{said} Dumps are counted over all days.")
        columns = {
            "feed": "Feed", "state": "State", "last_loaded_day": "Last day loaded", "last_loaded_at": "Loaded at (UTC)",
            "due": "Due by", "open": "Open", "waiting": "Uploading", "held": "Held", "refused": "Refused",
            "failed": "Failed", "quarantined": "Rows in quarantine",
        }  # fmt: skip
        table = fresh.sort_values(["late", "feed"], ascending=[False, True])[list(columns)].rename(columns=columns)
        st.dataframe(
            table,
            hide_index=True,
            height=min(36 * (len(table) + 1), 700),
            column_config=_formats(table),
            alt="Freshness by feed",
        )


def _formats(table: pd.DataFrame) -> dict[str, Any]:
    """Counts with thousands separated, times without their zone, which the column's title gives."""
    names = [str(name) for name in table.select_dtypes("number")]
    numbers: dict[str, Any] = {name: st.column_config.NumberColumn(format="localized") for name in names}
    return numbers | {"Loaded at (UTC)": st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm", timezone="UTC")}
