"""The data dictionary as one HTML file for people without a repository: searchable, printable, nothing to load.

Belongs here: layout. Does not belong here: what is said (content.py, words.py); writing files.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from claims_pipeline.dictionary.content import ColumnEntry, DatasetEntry, Dictionary, SenderEntry
from claims_pipeline.dictionary.words import AUDIENCES, CLASSES, TREATMENTS

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 0 auto; max-width: 90rem; padding: 1rem 2rem; color: #1b1b1b }
h1, h2, h3 { line-height: 1.2 } h2 { margin-top: 3rem; border-bottom: 2px solid #1b1b1b } h3 { margin-top: 2.5rem }
form { position: sticky; top: 0; background: #fff; padding: .6rem 0 }
input { font: inherit; width: min(32rem, 100%); padding: .4rem .6rem }
table { border-collapse: collapse; width: 100%; font-size: .87rem; margin: .8rem 0 }
th, td { text-align: left; vertical-align: top; padding: .25rem .6rem .25rem 0; border-bottom: 1px solid #ddd }
td:nth-child(8) { overflow-wrap: anywhere } th { background: #f4f4f4 } code { font-size: .95em } dt { font-weight: 600 }
dl { display: grid; grid-template-columns: 11rem 1fr; gap: .15rem 1rem; margin: .8rem 0 } dd { margin: 0 }
.special, .direct { color: #a1260d; font-weight: 600 } [hidden] { display: none }
@media print { form { display: none } body { max-width: none; padding: 0; font-size: 11px } tr { break-inside: avoid } }
"""

_SCRIPT = """
const wanted = document.querySelector("input");
wanted.form.addEventListener("submit", event => event.preventDefault());
wanted.addEventListener("input", () => {
  const words = wanted.value.toLowerCase().split(/\\s+/).filter(Boolean);
  for (const row of document.querySelectorAll("tr[data-row]"))
    row.hidden = !words.every(word => (row.dataset.row + " " + row.textContent).toLowerCase().includes(word));
  for (const section of document.querySelectorAll("section.dataset"))
    section.hidden = words.length > 0 && !section.querySelector("tr[data-row]:not([hidden])");
});
"""


def page(dictionary: Dictionary) -> str:
    """The whole dictionary as one HTML document; it loads nothing from anywhere."""
    legend = "".join(
        f"<h3>{escape(title)}</h3>{_table(titles, rows)}"
        for title, titles, rows in (
            ("Classes of personal data", ("class", "number", "meaning"), CLASSES),
            ("Treatments", ("treatment", "what it does", "source"), TREATMENTS),
            ("Who may see a stored column", ("seen by", "means"), AUDIENCES),
        )
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Data dictionary</title>'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
        "script-src 'unsafe-inline'\">"
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>'
        "<h1>Data dictionary</h1><p>What arrives, what becomes of it, and who may see it, as the contracts say. Rows "
        "are restricted and pseudonymised, reports are aggregated; nothing is de-identified.</p>"
        '<form><input type="search" aria-label="Search columns" placeholder="Search: a column, a class, a treatment">'
        f"</form>{''.join(map(_sender, dictionary.senders))}<h2>The words</h2>{legend}"
        f"<script>{_SCRIPT}</script></body></html>\n"
    )


def _sender(sender: SenderEntry) -> str:
    reports = ""
    if sender.reports:
        rows = [
            (f"bi.{r.name}", r.title, r.counted, ", ".join((r.grain, *r.groups)), ", ".join(r.sums), ", ".join(r.reads))
            for r in sender.reports
        ]
        reports = "<h3>Reports</h3>" + _table(("view", "question", "counts", "by", "sums", "read from"), rows)
    fates = _table(
        ("class as delivered", "kept", "token", "reduced", "never read"),
        [(f.pii, *(f"{number:,}" for number in (f.keep, f.token, f.reduce, f.drop))) for f in sender.fates],
    )
    datasets = "".join(map(_dataset, sender.datasets))
    return f"<h2>{escape(sender.title)}</h2>{_facts(sender.facts)}{fates}{datasets}{reports}"


def _dataset(dataset: DatasetEntry) -> str:
    titles = ("column", "class", "treatment", "stored as", "class left", "seen by", "meaning", "rules", "source")
    rows = "".join(_row(dataset.name, column) for column in dataset.columns)
    never = [(pii, name, meaning) for pii, columns in dataset.never_read for name, meaning in columns]
    hidden = "".join(
        f'<tr data-row="{escape(dataset.name)} never read drop"><td><code>{escape(name)}</code></td>{_class(pii)}'
        f"<td>{escape(meaning)}</td></tr>"
        for pii, name, meaning in never
    )
    folded = (
        f"<details><summary>{len(never)} columns that are never read</summary>"
        f"<table>{_head(('column', 'class', 'meaning'))}{hidden}</table></details>"
    )
    return (
        f'<section class="dataset"><h3>{escape(dataset.name)}</h3><p>{escape(dataset.row)} Table '
        f"<code>{escape(dataset.table)}</code>.</p>{_facts(dataset.facts)}<table>{_head(titles)}{rows}</table>"
        f"{folded if never else ''}</section>"
    )


def _row(dataset: str, column: ColumnEntry) -> str:
    def stored(words: Iterable[str]) -> str:
        return f"<td>{'<br>'.join(map(escape, words))}</td>"

    return (
        f'<tr data-row="{escape(dataset)}"><td><code>{escape(", ".join((column.name, *column.aliases)))}</code></td>'
        f"{_class(column.pii)}<td>{escape(column.treatment)}</td>"
        + stored(f"{s.name} {s.type}" for s in column.stored)
        + stored(s.pii for s in column.stored)
        + stored(s.seen_by for s in column.stored)
        + "".join(f"<td>{escape(text)}</td>" for text in (column.meaning, "; ".join(column.rules), column.source))
        + "</tr>"
    )


def _class(pii: str) -> str:
    return f'<td class="{escape(pii)}">{escape(pii)}</td>'


def _facts(facts: Iterable[tuple[str, str]]) -> str:
    return "<dl>" + "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in facts) + "</dl>"


def _head(titles: Sequence[str]) -> str:
    return f"<thead><tr>{''.join(f'<th>{escape(title)}</th>' for title in titles)}</tr></thead>"


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table>{_head(titles)}{lines}</table>"
