"""The data dictionary as values: senders, datasets, columns and reports, each said in words.

Belongs here: what a contract means, for people. Does not belong here: how it is laid out (markdown.py, html.py), and
facts of its own: every word about a feed comes from its contract.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import pandera.pandas as pa

from claims_pipeline.dictionary.words import reduction_text, rule_text
from claims_pipeline.feeds.contract import Column, Drop, Feed, Keep, Pii, Reduce, Sender, StoredColumn, Token
from claims_pipeline.feeds.reports import Report
from claims_pipeline.warehouse.analyst import columns_for_analysts
from claims_pipeline.warehouse.ddl import sql_type


@dataclass(frozen=True)
class StoredEntry:
    """A stored column.

    Attributes:
        name: in the table and the validated frames.
        type: of Postgres.
        pii: class of personal data left in it.
        seen_by: who may read it besides owner and loader: "analyst", "bi (counts)", both, or "nobody".
    """

    name: str
    type: str
    pii: str
    seen_by: str


@dataclass(frozen=True)
class ColumnEntry:
    """A column of a contract that is read.

    Attributes:
        name: as delivered; `aliases`, other names.
        aliases: other names under which dumps deliver it.
        pii: class of personal data as delivered.
        treatment: what becomes of the value.
        meaning: of the column.
        rules: what its values have to be.
        source: "published" where the public source of the dataset names the column, else "proposal".
        stored: what is stored of it.
    """

    name: str
    aliases: tuple[str, ...]
    pii: str
    treatment: str
    meaning: str
    rules: tuple[str, ...]
    source: str
    stored: tuple[StoredEntry, ...]


@dataclass(frozen=True)
class DatasetEntry:
    """A dataset: facts, each a name and a sentence; columns; and what is never read, meanings by name, by class."""

    name: str
    table: str
    row: str
    facts: tuple[tuple[str, str], ...]
    columns: tuple[ColumnEntry, ...]
    never_read: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]


@dataclass(frozen=True)
class Fates:
    """What becomes of the columns of one class, over all datasets of a sender: numbers of contract columns."""

    pii: str
    keep: int
    token: int
    reduce: int
    drop: int


@dataclass(frozen=True)
class ReportEntry:
    """A view for BI tools."""

    name: str
    title: str
    counted: str
    grain: str
    groups: tuple[str, ...]
    sums: tuple[str, ...]
    reads: tuple[str, ...]


@dataclass(frozen=True)
class SenderEntry:
    """A sender with its datasets and reports."""

    name: str
    title: str
    facts: tuple[tuple[str, str], ...]
    fates: tuple[Fates, ...]
    datasets: tuple[DatasetEntry, ...]
    reports: tuple[ReportEntry, ...]


@dataclass(frozen=True)
class Dictionary:
    """All of it."""

    senders: tuple[SenderEntry, ...]


def dictionary(feeds: Iterable[Feed], reports: Iterable[Report]) -> Dictionary:
    """The data dictionary of these contracts and reports.

    Args:
        feeds: contracts, in the order in which they are shown.
        reports: what BI tools see of their senders.
    """
    there, told = tuple(feeds), tuple(reports)
    return Dictionary(
        tuple(
            _sender(sender, [f for f in there if f.sender == sender], [r for r in told if r.sender == sender])
            for sender in dict.fromkeys(feed.sender for feed in there)
        )
    )


def _sender(sender: Sender, feeds: list[Feed], reports: list[Report]) -> SenderEntry:
    rounding = f"; counts are rounded at random to multiples of {sender.rounding}" if sender.rounding > 1 else ""
    facts = (
        ("delivers", f"{sender.calendar} ({sender.timezone})"),
        *((f"delivers {feed.dataset}", f"{feed.calendar} ({sender.timezone})") for feed in feeds if feed.calendar),
        ("inbox", f"keys that begin with {sender.prefix}"),
        ("first delivery day", f"{sender.start}"),
        ("smallest cell", f"{sender.smallest_cell} persons{rounding}"),
        ("owners", ", ".join(sender.owners)),
    )  # fmt: skip
    return SenderEntry(
        sender.name,
        sender.title,
        facts,
        tuple(_fates(pii, [c for f in feeds for c in f.columns if c.facts.pii is pii]) for pii in Pii),
        tuple(_dataset(feed, [r for r in reports if feed.dataset in r.reads]) for feed in feeds),
        tuple(ReportEntry(r.name, r.title, r.counted, r.grain, r.groups, r.sums, r.reads) for r in reports),
    )


def _fates(pii: Pii, columns: list[Column]) -> Fates:
    count = Counter(type(column.facts.treatment) for column in columns)
    return Fates(pii.name.lower(), count[Keep], count[Token], count[Reduce], count[Drop])


def _dataset(feed: Feed, reports: list[Report]) -> DatasetEntry:
    counted = {name for report in reports for name in report.groups} | ({feed.bi.month_of} if feed.bi else set())
    never = [c for c in feed.columns if isinstance(c.facts.treatment, Drop)]
    classes = sorted({c.facts.pii for c in never}, reverse=True)
    return DatasetEntry(
        name=feed.name,
        table=f"{feed.sender.name}.{feed.dataset}",
        row=" ".join((feed.model.__doc__ or "").split()),
        facts=tuple((name, text) for name, text in _facts(feed) if text),
        columns=tuple(_column(feed, c, counted) for c in feed.columns if c not in never),
        never_read=tuple(
            (pii.name.lower(), tuple((c.name, c.description) for c in never if c.facts.pii is pii)) for pii in classes
        ),
    )


def _facts(feed: Feed) -> Iterable[tuple[str, str]]:
    """What is true of a dataset as a whole: a name and a sentence; empty where it has nothing to say."""
    snapshot, of = feed.snapshot, feed.replaced_set
    yield (
        "delivery",
        f"the whole table in each dump; what it lacks is deleted, up to {snapshot.most_deleted:.0%} of the rows"
        if snapshot
        else "changes since the last dump",
    )
    yield "format", type(feed.format).__name__
    yield "key", ", ".join(feed.key)
    yield "newer of two rows", f"by {feed.version}" if feed.version else "by the time stamp of the dump"
    yield "unique besides", ", ".join(feed.unique)
    yield "replaced as a set", f"with its row of {of.parent}, by {of.by}" if of else ""
    yield "whose data", _subject(feed)
    document = feed.document
    yield (
        "filled from",
        f"{document.column}, which is parsed and not stored, where a dump lacks: {', '.join(sorted(document.holds))}"
        if document
        else "",
    )
    yield "rules of rows", "; ".join(_table_rule(check) for check in feed.schema.checks)
    yield "rows apart", f"a dump is held above {feed.budget.rows:,} or {feed.budget.share:.0%} of rows set apart"
    yield "refused", f"dumps with columns like {', '.join(feed.refuse)}: not decrypted" if feed.refuse else ""
    policy = {"allow": "loads and tells", "hold": "waits for a person", "freeze": "refuses the dump"}[feed.drift]
    yield "drift", f"{policy}; a column that the contract does not name is never stored"
    yield "deleted by the sender", f"marked by {feed.soft_delete}; the row is kept" if feed.soft_delete else ""
    yield "left out of BI", ", ".join(feed.hidden_from_bi)
    yield "dumps without a row", "are usual: nobody is told" if feed.empty_is_usual else "a person is told"
    yield "retention", _retention(feed)
    yield "contract", feed.fingerprint[:12]
    yield "source", feed.source.text if feed.source else "not said"


def _retention(feed: Feed) -> str:
    kept = feed.retention
    raw, frames, apart = (f"{days} days" if days else "for ever" for days in (kept.raw, kept.frames, kept.quarantine))
    return f"raw bytes {raw}, validated frames {frames} after the dump was settled; quarantined rows {apart}"


def _subject(feed: Feed) -> str:
    subject = feed.subject
    if subject is None:
        return "nobody's"
    if subject.of:
        return f"of the person of {subject.of}, by {', '.join(subject.by)}"
    return f"of the person of {' or else '.join(subject.tokens)}"


def _table_rule(check: pa.Check) -> str:
    return f"{check.name}: {check.description}{' (advice)' if check.raise_warning else ''}"


def _column(feed: Feed, column: Column, counted: set[str]) -> ColumnEntry:
    read = set(columns_for_analysts(feed))
    published = feed.source.published if feed.source else ()
    return ColumnEntry(
        name=column.name,
        aliases=column.facts.aliases,
        pii=column.facts.pii.name.lower(),
        treatment=_treatment(column),
        meaning=column.description,
        rules=tuple(_rules(column)),
        source="published" if column.name in published else "proposal",
        stored=tuple(
            StoredEntry(s.name, sql_type(s.arrow), s.pii.name.lower(), _seen_by(s, read, counted))
            for s in column.stored
        ),
    )


def _seen_by(stored: StoredColumn, read: set[StoredColumn], counted: set[str]) -> str:
    seen = [*(["analyst"] if stored in read else []), *(["bi (counts)"] if stored.name in counted else [])]
    return ", ".join(seen) or "nobody"


def _treatment(column: Column) -> str:
    match column.facts.treatment:
        case Keep():
            return "keep"
        case Drop():
            return "drop"
        case Token(family=family, upper=upper):
            return f"token of {family or column.name}" + (" in upper case" if upper else "")
        case Reduce(to=to):
            return reduction_text(to)


def _rules(column: Column) -> Iterable[str]:
    """What the values have to be, then how they are read."""
    facts = column.facts
    if facts.key:
        yield "key"
    elif not column.nullable:
        yield "never NULL"
    if facts.required and not facts.key:
        yield "required in the header"
    if facts.only:
        yield f"only rows with {', '.join(facts.only)} are loaded"
    if facts.codes:
        yield f"also spelled {', '.join(f'{theirs} for {ours}' for theirs, ours in facts.codes)}"
    yield from map(rule_text, column.checks)
    if facts.max_ahead:
        yield f"at most {facts.max_ahead} after the dump's time stamp"
    yield from _readings(column)


def _readings(column: Column) -> Iterable[str]:
    facts = column.facts
    if facts.sentinels:
        yield f"{', '.join(facts.sentinels)} is NULL"
    if facts.invalid == "null":
        yield "what cannot be cast is NULL"
    if not facts.hashed:
        yield "its change alone is no change of the row"
