"""The words of the data dictionary: classes, treatments and their sources, audiences, and rules said in English.

Belongs here: what is true of every feed. Does not belong here: any feed.
"""

from __future__ import annotations

import pandera.pandas as pa

from claims_pipeline.feeds.contract import Reduction

_MOST_LISTED = 14
"""Values of a list up to which all are shown in a table's cell."""

CLASSES = (
    ("none", "0", "not personal by itself"),
    ("pseudonymous", "1", "a number or token that stands for a person, a claim or a row"),
    ("quasi", "2", "identifies together with other facts: dates, places, what was done for somebody"),
    ("direct", "3", "identifies by itself: names, addresses, SSN, ICN, NHI, dates of birth and death, file names"),
    ("special", "4", "health and housing, what people wrote, bank data, secrets"),
)
"""Class, its number, what it means. What is left after treatment has a class too, and decides who may see it."""

TREATMENTS = (
    ("keep", "The value is stored as it is.", "the contract"),
    (
        "token",
        "The value is replaced by a keyed HMAC-SHA-256 (docs/keys.md): the same for the same value in all datasets of "
        "one sender, another at another sender. Pseudonymised, not anonymous: who holds the key can make the token of "
        "a known value. Class left: pseudonymous at most.",
        "45 CFR 164.514(c) allows no code that is derived from the person's data, so tokens do not make data "
        "de-identified",
    ),
    (
        "year of birth",
        "Date to year; one class 90+ for people of more than 89 full years on the delivery day.",
        "45 CFR 164.514(b)(2)(i)(C)",
    ),
    (
        "ZIP3",
        "ZIP code to its first three digits; 000 for areas of 20,000 people or fewer and those in which nobody is "
        "counted.",
        "45 CFR 164.514(b)(2)(i)(B); list and its sources: claims_pipeline/frames/data/small_zip3.txt",
    ),
    ("year", "Date to year.", "45 CFR 164.514(b)(2)(i)(C), which leaves years"),
    (
        "month",
        "Date to the first day of its month. Finer than Safe Harbor allows: the row stays restricted.",
        "our own",
    ),
    ("parts of a date", "YYYY-MM-DD of which parts may be unknown (XX) to three numbers. Nothing is lost.", "our own"),
    ("extension", "File name to its extension where that is a known kind of document, else other.", "our own"),
    ("count", "List to the number of its entries.", "our own"),
    (
        "drop",
        "The value is never read: it stays in the raw archive alone.",
        "45 CFR 164.514(b)(2)(i), which names 18 identifiers",
    ),
)
"""Treatment, what it does, and where it comes from. The coarser forms leave class quasi at most."""

AUDIENCES = (
    ("owner, loader", "The role that migrates and the one that loads see every stored column."),
    ("analyst", "Sees rows, in views of schema analyst, without columns whose class left is direct or special."),
    (
        "bi (counts)",
        "Sees no row. The column is a group or the time of a report in schema bi; what else a report counts from is in "
        "the datasets that it reads.",
    ),
    ("nobody", "No reader's role: owner and loader alone."),
)
"""Who may see a stored column; docs/access.md says how that is enforced."""


def reduction_text(to: Reduction) -> str:
    """A reduction, as TREATMENTS names it."""
    names = {
        Reduction.BIRTH_YEAR: "year of birth",
        Reduction.ZIP3: "ZIP3",
        Reduction.PARTIAL_DATE: "parts of a date",
    }
    return f"reduce to {names.get(to, to.value)}"


def rule_text(check: pa.Check) -> str:
    """What a check asks of a value, in words; pandera's own form where there are none."""
    limits = check.statistics or {}
    low, high = limits.get("min_value"), limits.get("max_value")
    match check.name:
        case "greater_than_or_equal_to":
            text = f"at least {low}"
        case "less_than_or_equal_to":
            text = f"at most {high}"
        case "in_range":
            text = f"{low:,} to {high:,}"
        case "isin":
            values = [str(value) for value in limits["allowed_values"]]
            text = ", ".join(values) if len(values) <= _MOST_LISTED else f"one of {len(values)} values"
        case "str_matches":
            text = f"like {limits['pattern']}"
        case "str_length":
            text = f"{low or 0} to {high} characters" if high is not None else f"at least {low} characters"
        case _:
            text = str(check)
    return f"{text} (advice)" if check.raise_warning else text
