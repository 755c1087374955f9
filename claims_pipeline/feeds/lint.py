"""The gate before which a contract says what becomes of every personal column; `make lint` runs it.

Belongs here: what of a contract looks like personal data that nobody thought of, from names, types and declarations.
Does not belong here: what cannot even be imported (columns.py and contract.py raise); values, which it never sees.

It errs towards asking. Whoever has looked at a column of class NONE and found it harmless says so in the contract, by
`treatment=Keep()`; for every other finding the contract has to change.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import pandera.pandas as pa
import pyarrow

from claims_pipeline.feeds.contract import (
    Column,
    Feed,
    Keep,
    Pii,
    Reduce,
    Reduction,
    StoredColumn,
    Token,
    treatment_text,
)
from claims_pipeline.feeds.reports import Report

PERSONAL_NAME = re.compile(
    r"name|(^|_)age(_|$)|ssn|social|birth|born|dob|death|died|e?mail|phone|mobile|cell|(^|_)fax|address|street|suburb"
    r"|city|(^|_)zip|post_?code|postal|(^|_)(lat|lon|long|geo|gps)(_|$)|latitude|longitude|nhi|(^|_)icn|edipi|mrn"
    r"|passport|licen[cs]e|account|iban|routing|(^|_)bank|(^|_)card|(^|_)notes?(_|$)|comment|message|remark|description"
    r"|reason|narrative|summary|(^|_)text|(^|_)ip(_|$)|ip_?addr|url|photo|picture|signature|(^|_)token|secret|password"
    r"|(^|_)(person|patient|veteran|member|client|user|login|kin|guardian|spouse)(_|$)",
    re.IGNORECASE,
)
"""Names of columns that say who somebody is, or that hold what people wrote."""

SENSITIVE_NAME = re.compile(
    r"ethnic|race(_|$)|religio|gender|(^|_)sex|pregnan|smok|(^|_)hiv|diagnos|disease|condition|suicid|homeless|criminal",
    re.IGNORECASE,
)
"""Names of columns that say of somebody what laws protect especially; a yes or no is enough."""

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
"""Where a word begins in a name LikeThis."""

_BIRTH = re.compile(r"birth|born|(^|_)dob(_|$)", re.IGNORECASE)

IDENTIFIERS = ("ssn", "icn", "edipi", "nhi", "mrn", "hpi", "birls", "passport")
"""Identifiers that are one person's in every dataset, as words of column names."""


@dataclass(frozen=True)
class Finding:
    """What a contract leaves open.

    Attributes:
        rule: identifier of the rule.
        place: "sender/dataset" or "sender/dataset.column".
        text: what was found.
        remedy: what to write into the contract.
    """

    rule: str
    place: str
    text: str
    remedy: str


def lint(feeds: Iterable[Feed], reports: Iterable[Report] = ()) -> list[Finding]:
    """What these contracts leave open about personal data; empty when they pass.

    Args:
        feeds: contracts; of a sender all that there are, since tokens are compared across its datasets.
        reports: what BI tools are shown of them.
    """
    there = tuple(feeds)
    found = [finding for feed in there for finding in (*_columns(feed), *_shown(feed), *_subject(feed))]
    for sender in dict.fromkeys(feed.sender.name for feed in there):
        found += _families([feed for feed in there if feed.sender.name == sender])
    for report in reports:
        read = [f for f in there if f.sender.name == report.sender.name and f.dataset in report.reads]
        found += _told(report, read)
    return found


def is_free_text(column: Column) -> bool:
    """Whether a column holds text that nothing bounds: no list, pattern, greatest length or filter.

    A bound that is only advice counts: what goes beyond it is told. Lists of texts do not: pandera has no check that
    bounds their entries.
    """
    return column.arrow == pyarrow.string() and not column.facts.only and not any(map(_bounds, column.checks))


def _bounds(check: pa.Check) -> bool:
    limits = check.statistics or {}
    longest = limits.get("max_value") is not None or limits.get("exact_value") is not None
    return check.name in ("isin", "str_matches", "str_fullmatch", "equal_to") or (
        check.name == "str_length" and longest
    )


def _columns(feed: Feed) -> Iterable[Finding]:
    for column in feed.columns:
        if isinstance(column.facts.treatment, Reduce):
            yield from _too_fine(column, column.facts.treatment.to, f"{feed.name}.{column.name}")
        if not isinstance(column.facts.treatment, Keep):
            continue
        place, pii = f"{feed.name}.{column.name}", column.facts.pii
        if pii is Pii.DIRECT:
            yield Finding(
                "direct.kept", place, "identifies somebody by itself and is kept", "Token(), Reduce(...) or Drop()"
            )
        elif pii is Pii.SPECIAL and is_free_text(column):
            yield Finding(
                "special.free_text",
                place,
                "is text of a special class, kept, and nothing bounds it",
                "Drop(), or a list, pattern or length (isin=, str_matches=, str_length=)",
            )
        elif pii <= Pii.PSEUDONYMOUS and not column.facts.looked_at:
            yield from _unlooked(column, place)


def _too_fine(column: Column, to: Reduction, place: str) -> Iterable[Finding]:
    """Reductions that leave what identifies."""
    if to is Reduction.PARTIAL_DATE and column.facts.pii > Pii.QUASI:
        text = "is reduced to the parts of its date, which is the whole date"
        yield Finding("reduce.nothing", place, text, "Reduce(BIRTH_YEAR), Reduce(YEAR) or Drop()")
    elif to in (Reduction.YEAR, Reduction.MONTH) and _BIRTH.search(_HUMP.sub("_", column.name)):
        text = f"is reduced to a {to.value}, which tells ages over 89 (45 CFR 164.514(b)(2)(i)(C))"
        yield Finding("reduce.birth", place, text, "Reduce(BIRTH_YEAR)")


def _unlooked(column: Column, place: str) -> Iterable[Finding]:
    """What stands out in a column of class NONE or PSEUDONYMOUS whose treatment nobody said."""
    boolean = column.arrow == pyarrow.bool_()
    key_of_a_person = column.facts.pii is Pii.PSEUDONYMOUS and column.arrow != pyarrow.string()
    spellings = [_HUMP.sub("_", name) for name in (column.name, *column.facts.aliases)]
    remedy = "pii= and treatment=; or treatment=Keep(), if you looked and it is not personal"
    if not key_of_a_person and any(
        SENSITIVE_NAME.search(name) or (not boolean and PERSONAL_NAME.search(name)) for name in spellings
    ):
        text = f"is kept as {column.facts.pii.name.lower()}, and its name looks personal"
        yield Finding("name.personal", place, text, remedy)
    elif is_free_text(column):
        yield Finding("text.unbounded", place, "is kept text that nothing bounds, so people may write in it", remedy)


def _shown(feed: Feed) -> Iterable[Finding]:
    """Columns of the BI view that must not be shown."""
    contract = {column.name: column for column in feed.columns}
    shown = {feed.bi.month_of, *feed.bi.by} if feed.bi else set()
    for stored in feed.stored:
        if stored.name in shown and (why := _why_not_shown(stored, contract[stored.source])):
            yield Finding("bi.group", f"{feed.name}.{stored.name}", f"is shown in BI and {why}", "leave it out of bi=")


def _told(report: Report, read: list[Feed]) -> Iterable[Finding]:
    """Columns that a report must not be made from: what is direct or special, and tokens and free text as groups."""
    words = set(re.findall(r"\w+", report.facts))
    for feed in read:
        contract = {column.name: column for column in feed.columns}
        for stored in feed.stored:
            why = _why_not_shown(stored, contract[stored.source])
            if why and (stored.name in report.groups or (stored.pii > Pii.QUASI and stored.name in words)):
                text = f"is in the report bi.{report.name} and {why}"
                yield Finding("bi.report", f"{feed.name}.{stored.name}", text, "leave it out of the report")


def _why_not_shown(stored: StoredColumn, column: Column) -> str:
    if isinstance(column.facts.treatment, Token) and stored.arrow == pyarrow.string():
        return "is a token: each person would be a group"
    if stored.pii > Pii.QUASI:
        return f"is of class {stored.pii.name.lower()}"
    return "is text that nothing bounds" if isinstance(column.facts.treatment, Keep) and is_free_text(column) else ""


def _subject(feed: Feed) -> Iterable[Finding]:
    tokens = [c.name for c in feed.columns if isinstance(c.facts.treatment, Token) and c.facts.pii > Pii.PSEUDONYMOUS]
    quasi = [c.name for c in feed.stored if c.pii > Pii.PSEUDONYMOUS]
    if feed.subject is None and (personal := tokens or quasi):
        yield Finding(
            "subject.missing",
            feed.name,
            f"holds data of persons ({personal[0]} and {len({*tokens, *quasi}) - 1} more) and does not say of whom",
            "subject=Subject(tokens=...), or Subject(of=..., by=..., key=...)",
        )


def _families(feeds: list[Feed]) -> Iterable[Finding]:
    """Tokens of one sender that would not be the same for the same person."""
    seen: dict[tuple[str, str], tuple[str, str, bool]] = {}
    for feed in feeds:
        for column in feed.columns:
            treatment = column.facts.treatment
            if not isinstance(treatment, Token):
                continue
            place, family = f"{feed.name}.{column.name}", treatment.family or column.name
            words = {word for word in column.name.lower().split("_") if word in IDENTIFIERS}
            names = [("family", family), ("stored name", column.stored[0].name), *(("identifier", w) for w in words)]
            for kind, name in names:
                other, its_family, its_upper = seen.setdefault((kind, name), (place, family, treatment.upper))
                if (its_family, its_upper) != (family, treatment.upper):
                    text = f"has the {kind} {name} of {other}, but another token for the same person: "
                    text += f"{treatment_text(treatment)} of family {family}, not {its_family}"
                    yield Finding("token.family", place, text, "one family= and one upper= for both")
                    break
