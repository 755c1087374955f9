"""The data dictionary as Markdown pages: an index, and one page for each sender.

Belongs here: layout. Does not belong here: what is said (content.py, words.py); writing files.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from claims_pipeline.dictionary.content import ColumnEntry, DatasetEntry, Dictionary, ReportEntry, SenderEntry
from claims_pipeline.dictionary.words import AUDIENCES, CLASSES, TREATMENTS

_MADE = "Written by `make docs` from the contracts in `claims_pipeline/feeds`; change those, not this page."


def pages(dictionary: Dictionary) -> dict[str, str]:
    """Text of every page, by file name: README.md, and <sender>.md."""
    return {"README.md": _index(dictionary)} | {f"{s.name}.md": _sender(s) for s in dictionary.senders}


def _index(dictionary: Dictionary) -> str:
    lines = [
        "# Data dictionary",
        "",
        f"What arrives, what becomes of it, and who may see it. {_MADE} The same as one file for people without a "
        "repository: `claims-pipeline feeds dictionary --html dictionary.html`.",
        "",
        "Rows are restricted and pseudonymised, reports are aggregated. Nothing here is de-identified in the sense of "
        "45 CFR 164.514: rows hold dates and tokens. [privacy.md](../privacy.md) says where values may stand.",
    ]
    for sender in dictionary.senders:
        lines += ["", f"## [{_text(sender.title)}]({sender.name}.md)", ""]
        lines += _table(
            ("dataset", "a row is", "columns read", "never read"),
            (
                (
                    f"[{d.name}]({sender.name}.md#{_anchor(d.name)})",
                    _text(d.row),
                    str(len(d.columns)),
                    str(sum(len(columns) for _, columns in d.never_read)),
                )
                for d in sender.datasets
            ),
        )
    lines += ["", "## What becomes of each class", "", "Columns of all datasets, by class as delivered.", ""]
    lines += _table(
        ("sender", "class", "kept", "token", "reduced", "never read"),
        (
            (s.name, f.pii, *(f"{number:,}" for number in (f.keep, f.token, f.reduce, f.drop)))
            for s in dictionary.senders
            for f in s.fates
        ),
    )
    lines += ["", "## The words", "", "Classes of personal data:", ""]
    lines += _table(("class", "number", "meaning"), CLASSES)
    lines += ["", "Treatments, before anything is written outside the raw archive:", ""]
    lines += _table(("treatment", "what it does", "source"), TREATMENTS)
    lines += ["", "Who may see a stored column:", ""]
    lines += _table(("seen by", "means"), AUDIENCES)
    lines += [
        "",
        "Source of a column: *published* where the public source of its dataset names it, else *proposal*: this "
        "project's own, to be compared with the first real dump. A rule marked *advice* is counted and told, and the "
        "row is kept; every other rule sets its rows apart, in quarantine.",
    ]
    return "\n".join(lines) + "\n"


def _sender(sender: SenderEntry) -> str:
    lines = [
        f"# {_text(sender.title)}: data dictionary",
        "",
        f"{_MADE} The words are explained in [the index](README.md).",
        "",
    ]
    lines += [f"- **{name}**: {_text(text)}" for name, text in sender.facts]
    lines += ["", "Datasets: " + ", ".join(f"[{d.name}](#{_anchor(d.name)})" for d in sender.datasets)]
    for dataset in sender.datasets:
        lines += _dataset(dataset)
    if sender.reports:
        lines += ["", "## Reports", "", *_reports(sender.reports)]
    return "\n".join(lines) + "\n"


def _dataset(dataset: DatasetEntry) -> list[str]:
    lines = ["", f"## {dataset.name}", "", f"{_text(dataset.row)} Table `{dataset.table}`.", ""]
    lines += [f"- **{name}**: {_text(text)}" for name, text in dataset.facts]
    titles = ("column", "class", "treatment", "stored as", "class left", "seen by", "meaning", "rules", "source")
    lines += ["", *_table(titles, (_row(column) for column in dataset.columns))]
    for pii, columns in dataset.never_read:
        lines += ["", f"<details><summary>Never read, class {pii}: {len(columns)} columns</summary>", ""]
        lines += [", ".join(f"`{name}`{_gloss(name, meaning)}" for name, meaning in columns), "", "</details>"]
    return lines


def _row(column: ColumnEntry) -> Sequence[str]:
    names = ", ".join(f"`{name}`" for name in (column.name, *column.aliases))
    return (
        names,
        column.pii,
        column.treatment,
        "<br>".join(f"`{s.name}` {s.type}" for s in column.stored),
        "<br>".join(s.pii for s in column.stored),
        "<br>".join(s.seen_by for s in column.stored),
        _text(column.meaning),
        _text("; ".join(column.rules)),
        column.source,
    )


def _reports(reports: Iterable[ReportEntry]) -> list[str]:
    titles = ("view", "question", "counts", "by", "sums", "read from")
    return _table(
        titles,
        (
            (
                f"`bi.{r.name}`",
                _text(r.title),
                r.counted,
                ", ".join((r.grain, *r.groups)),
                ", ".join(r.sums),
                ", ".join(r.reads),
            )
            for r in reports
        ),
    )


def _gloss(name: str, meaning: str) -> str:
    """The meaning in brackets, where it says more than the name."""
    return "" if meaning.lower() == name.replace("_", " ").lower() else f" ({_text(meaning)})"


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [titles, ["---"] * len(titles), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]


def _text(text: str) -> str:
    """Words of a contract, such that Markdown shows them as they are."""
    for character in "\\*_`[]<>":
        text = text.replace(character, f"\\{character}")
    return text


def _anchor(title: str) -> str:
    """Where GitHub and GitLab link a heading of these characters."""
    return title.lower().replace("/", "").replace(" ", "-")
