"""The words of the pages: titles, numbers, ages, and what is said of what is hidden.

Belongs here: pure functions from values to text. Does not belong here: drawing, queries.
"""

from __future__ import annotations

import datetime as dt

from claims_pipeline.dashboard.reports import GRAINS, SMALL, UNKNOWN, Report

PAGE_TITLES = {"va_form526": "Claims", "indici": "Practice data"}
"""Titles of senders' pages; another sender's page has the title that its contract gives."""

ORDER = (
    "submissions_per_day", "submissions_by_mailing_state", "contentions_per_month", "time_to_remediation",
    "duplicate_submissions", "appointments_per_month", "medications_per_month", "immunisations_per_month",
    "invoices_per_month",
)  # fmt: skip
"""Reports in the order in which they were asked for; others follow."""

HIDDEN = (
    f"**{SMALL}** are groups of too few people to be shown by themselves: they are counted together, so that totals "
    f"stay right. **{UNKNOWN}** means that the sender gave no value. Where a day has too few people, they are counted "
    "with their month or year: grey bands show where that is so. What is hidden is never shown as zero."
)

GLOSSARY = {
    "sender": "Who drops files into the bucket.",
    "feed": "One kind of file of one sender.",
    "dump": "One file as it was delivered.",
    "delivery day": "The date in the dump's name, in the sender's time zone.",
    "held": "A dump that waits for a person: too many of its rows broke a rule, or went missing.",
    "refused": "A dump that its contract forbids to load, as one with unreadable bytes or a missing column.",
    "missing": "A day on which the sender's calendar expects a dump, and none has come.",
    "quarantine": "Rows that broke a rule, set apart and sealed, to be looked at and loaded later.",
    "stale": "A row that is older than the version that the table has.",
    "filtered": "A row that the contract leaves out.",
    "as of": "The day for which a report was computed, in its sender's time zone.",
}


def number(value: float) -> str:
    """A count with thousands separated."""
    return f"{value:,.0f}"


def label(name: str) -> str:
    """A column's name for people."""
    return sentence(name.replace("_", " "))


def sentence(text: str) -> str:
    """The text, beginning with a capital."""
    return text[:1].upper() + text[1:]


def day(value: dt.date) -> str:
    """A date that reads the same in every country."""
    return f"{value.day} {value:%b %Y}"


def heading(report: Report) -> str:
    """A report's name for people; its title is a sentence."""
    return label(report.name.removeprefix(f"{report.sender}_"))


def per(grain: str) -> str:
    """A length of period for people."""
    return "All time" if grain == "all" else label(grain)


def default_grain(report: Report, *, days: int | None) -> str:
    """The finest length of period that leaves a chart readable.

    Args:
        report: which report.
        days: that are shown; None for all.
    """
    wanted = "day" if days is not None and days <= 190 else "month"
    return max(report.grain, wanted, key=GRAINS.index)


def as_of(report: Report, *, today: dt.date) -> tuple[str, bool]:
    """How old a report is, and whether that is older than it should be (two days)."""
    if report.as_of is None:
        return "not computed yet", False
    age = (today - report.as_of).days
    old = "today" if age <= 0 else "yesterday" if age == 1 else f"{number(age)} days ago"
    refreshed = f", computed {report.refreshed_at:%Y-%m-%d %H:%M} UTC" if report.refreshed_at else ""
    return f"as of {day(report.as_of)} ({old}){refreshed}", age > 2


def protection(report: Report) -> str:
    """What protects the people in a report, in one sentence."""
    text = f"No figure is of fewer than {report.smallest_cell} people"
    return text + (f"; counts are rounded at random to multiples of {report.rounding}." if report.rounding > 1 else ".")
