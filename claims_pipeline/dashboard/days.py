"""Delivery days: what the calendar of operations shows, from what arrived and what the senders' calendars expect.

Belongs here: queries on the views of operations, and pure functions that set them against contracts. Does not belong
here: drawing.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import pandas as pd
from psycopg import sql

from claims_pipeline import checks
from claims_pipeline.dashboard.reading import ask
from claims_pipeline.feeds import Feed

MANY = 0.05
"""Share of a day's rows in quarantine from which on the calendar shows it."""

OUTCOMES = {
    "loaded": "Loaded",
    "many": "Loaded, over 5 % set apart",
    "open": "Being loaded",
    "held": "Held: needs a person",
    "bad": "Refused or failed",
    "missing": "Missing",
    "nothing": "Nothing to load",
}
"""What a square of the calendar can say, best known first."""

_OUTCOME_OF = {
    "failed": "bad", "refused": "bad", "held": "held", "open": "open", "waiting": "open", "loaded": "loaded",
    "undone": "nothing", "empty": "nothing", "skipped": "nothing", "superseded": "nothing",
}  # fmt: skip

_NEVER = "Never delivered"

VERDICTS = ("inserted", "updated", "unchanged", "stale", "duplicate", "filtered", "quarantined")


def feed_days(since: dt.date) -> pd.DataFrame:
    """`bi.feed_days` since a day."""
    return ask(
        sql.SQL("select * from bi.feed_days where delivery_day >= {} order by feed, delivery_day").format(
            sql.Literal(since)
        )
    )


def feed_status() -> pd.DataFrame:
    """`bi.feed_status`."""
    return ask(sql.SQL("select * from bi.feed_status order by feed"))


def quarantine(sender: str | None, feed: str | None) -> pd.DataFrame:
    """Open rows by rule, most first."""
    return ask(
        sql.SQL(
            "select feed, rule, rows, dumps, latest from bi.quarantine_by_rule where {} order by rows desc, feed, rule"
        ).format(_of(sender, feed))
    )


def load_times(since: dt.date, sender: str | None, feed: str | None) -> pd.DataFrame:
    """By delivery day: loads, rows, seconds by stage, and the median of rows per second."""
    return ask(
        sql.SQL(
            "select delivery_day, count(*) as loads, sum(rows)::bigint as rows, sum(seconds_archive) as archive,"
            " sum(seconds_validation) as validation, sum(seconds_load) as load,"
            " percentile_cont(0.5) within group (order by rows_per_second) as rows_per_second"
            " from bi.load_times where delivery_day >= {} and {} group by 1 order by 1"
        ).format(sql.Literal(since), _of(sender, feed))
    )


def with_missing(
    found: pd.DataFrame, status: pd.DataFrame, feeds: Sequence[Feed], *, now: dt.datetime, since: dt.date
) -> pd.DataFrame:
    """Days with an `outcome` each, and rows for the days on which a dump was due and none came.

    A day is missing from the first delivery of any of its sender's feeds on: before that, the sender had not begun.

    Args:
        found: `bi.feed_days`.
        status: `bi.feed_status`.
        feeds: contracts whose calendars count.
        now: aware.
        since: first day that is shown.
    """
    days = found.copy()
    days["share"] = days["rows_quarantined"] / days["rows_read"].where(days["rows_read"] > 0)
    days["outcome"] = days["state"].map(_OUTCOME_OF).fillna("nothing")
    days.loc[(days["outcome"] == "loaded") & (days["share"] > MANY), "outcome"] = "many"
    have = set(zip(days["feed"], days["delivery_day"], strict=True))
    begun = status.groupby("sender")["first_day"].min().to_dict()
    lookback = (now.date() - since).days + 1
    absent = [
        {"sender": feed.sender.name, "feed": feed.name, "delivery_day": day, "dumps": 0, "state": "missing",
         "verdicts": "", "outcome": "missing"}
        for feed in feeds
        if feed.sender.name in begun
        for day in checks.days_due(feed, now=now, lookback=lookback)
        if day >= max(since, begun[feed.sender.name]) and (feed.name, day) not in have
    ]  # fmt: skip
    if absent:
        days = pd.concat([days, pd.DataFrame(absent)], ignore_index=True)
    days["dataset"] = days["feed"].str.partition("/")[2]
    return days.sort_values(["feed", "delivery_day"], ignore_index=True)


def freshness(status: pd.DataFrame, feeds: Sequence[Feed], *, now: dt.datetime) -> pd.DataFrame:
    """A line per feed: whether it is up to date, and what needs a person.

    A feed that never came is late once another one of its sender came.
    """
    known = {line["feed"]: line for line in status.to_dict("records")}
    begun = set(status["sender"])
    lines = []
    for feed in feeds:
        line = known.pop(feed.name, None)
        last = line["last_loaded_day"] if line and pd.notna(line["last_loaded_day"]) else None
        fresh = checks.fresh(feed, now=now, last_loaded_day=last)
        behind = int(fresh.figures["days_behind"])
        late = not fresh.passed and feed.sender.name in begun
        state = "Up to date" if fresh.passed else _NEVER if line is None else _behind(behind)
        due = f"{feed.deliveries.due:%H:%M} {feed.sender.timezone}"
        lines.append({"feed": feed.name, "state": state, "late": late, "due": due, **(line or {})})
    lines += [{**line, "state": "No contract", "late": False, "due": ""} for line in known.values()]
    counts = ["open", "waiting", "held", "refused", "failed", "quarantined"]
    made = pd.DataFrame(lines, columns=["feed", "state", "late", "due", "last_loaded_day", "last_loaded_at", *counts])
    made[counts] = made[counts].fillna(0).astype(int)
    return made


def _behind(days: int) -> str:
    return f"{days} day{'' if days == 1 else 's'} behind" if days < 14 else "14 days behind, or more"


def _of(sender: str | None, feed: str | None) -> sql.Composable:
    if feed:
        return sql.SQL("feed = {}").format(sql.Literal(feed))
    if sender:
        return sql.SQL("sender = {}").format(sql.Literal(sender))
    return sql.SQL("true")
