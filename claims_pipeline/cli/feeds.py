"""`claims-pipeline feeds`: the data dictionary, from the contracts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from claims_pipeline.cli.common import make_services
from claims_pipeline.cli.output import EXIT_ATTENTION, err, errors_in_one_line, out, print_json, table

app = typer.Typer(help="What arrives: the contracts, as a data dictionary.", no_args_is_help=True)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@app.command("list")
def list_feeds(as_json: AsJson = False) -> None:
    """Every feed: key, version column, number of columns, what it is."""
    with errors_in_one_line():
        from claims_pipeline.feeds import all_feeds

        if as_json:
            print_json([feed.describe() for feed in all_feeds()])
            return
        rows = [
            (f.name, ", ".join(f.key), f.version or "(stamp of the dump)", len(f.columns), len(f.stored), f.title)
            for f in all_feeds()
        ]
        out.print(table("feeds", ["feed", "key", "version", "columns", "stored", "what it is"], rows))


@app.command()
def lint(as_json: AsJson = False) -> None:
    """The gate for personal data: does every contract say what becomes of it? `make lint` asks.

    Found are columns that look personal, by name or because nothing bounds their text, and have no treatment; kept
    columns that identify by themselves; kept free text of a special class; reductions that reduce nothing; datasets
    with data of persons that do not say of whom; tokens that differ for the same person; and columns in BI views and
    reports that must not be. Senders of other packages (entry points) are asked too. Exit code 1: something was found.
    """
    with errors_in_one_line():
        from claims_pipeline.feeds import all_feeds, all_reports
        from claims_pipeline.feeds.lint import lint as look

        feeds = all_feeds()
        found = look(feeds, all_reports())
        if as_json:
            print_json(found)
        elif found:
            rows = [(f.place, f.text, f.remedy, f.rule) for f in found]
            out.print(table("personal data", ["where", "what", "what to do", "rule"], rows))
        else:
            columns = sum(len(feed.columns) for feed in feeds)
            out.print(f"{len(feeds)} contracts, {columns:,} columns: every personal one has a treatment")
        if found:
            raise typer.Exit(EXIT_ATTENTION)


@app.command()
def dictionary(
    html: Annotated[
        Path | None, typer.Option("--html", help="Write one HTML file, which needs nothing else.", dir_okay=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """The data dictionary of all senders: meaning, treatment, source and readers of every column.

    For people without this repository: `--html dictionary.html` writes a page that can be searched and printed. Without
    options it is printed as Markdown, as `make docs` writes it to docs/dictionary.
    """
    with errors_in_one_line():
        from claims_pipeline.dictionary import dictionary as of
        from claims_pipeline.dictionary import page, pages
        from claims_pipeline.feeds import all_feeds, all_reports

        made = of(all_feeds(), all_reports())
        if html:
            html.write_text(page(made), encoding="utf-8")
            datasets = sum(len(sender.datasets) for sender in made.senders)
            err.print(f"{html}: {datasets} datasets of {len(made.senders)} senders", highlight=False)
        if as_json:
            print_json(made)
        elif not html:
            typer.echo("\n".join(pages(made).values()), nl=False)


@app.command()
def diff(
    file: Annotated[str, typer.Argument(help="File name, whole key, or dump number.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """How a dump's columns differ from the contract and from the dump before it, with a proposed change each."""
    with errors_in_one_line():
        from claims_pipeline.feeds import feed_named
        from claims_pipeline.feeds.drift import Delivered, compare
        from claims_pipeline.warehouse import ledger, reports

        with make_services().database() as connection:
            dumps = [dump for dump in ledger.find(connection, file) if dump.dataset and dump.validation]
            if not dumps:
                err.print(f"No dump named {file} has been read. `claims-pipeline explain` tells what became of it.")
                raise typer.Exit(EXIT_ATTENTION)
            dump = dumps[-1]
            seen = dump.validation or {}
            now = Delivered(tuple(seen["columns"]), seen.get("types", {}))
            changes = compare(feed_named(dump.feed), now, reports.previous_delivery(connection, dump))
        if as_json:
            print_json(changes)
            return
        if not changes:
            out.print(f"{dump.key}: {len(now.columns)} columns as in the contract", highlight=False)
            return
        out.print(table(dump.key, ["change", "what to do in the contract"], [(c.text, c.proposal) for c in changes]))


@app.command()
def draft(
    sample: Annotated[Path, typer.Argument(help="A CSV or Parquet file.", exists=True, dir_okay=False)],
    sender: Annotated[
        str, typer.Option(help="Identifier of the sender: lower case, digits, underscores.")
    ] = "my_sender",
) -> None:
    """Write a first contract from a sample, to be read and corrected; prints no value of the sample."""
    with errors_in_one_line():
        from claims_pipeline.frames.draft import draft as draft_contract

        typer.echo(draft_contract(sample, sender=sender), nl=False)


@app.command()
def show(
    feed: Annotated[str, typer.Argument(help='The feed, "sender/dataset".', show_default=False)],
    as_json: AsJson = False,
) -> None:
    """A feed's dictionary: every column, its type, rules, class of personal data, treatment, and the stored columns."""
    with errors_in_one_line():
        from claims_pipeline.feeds import feed_named
        from claims_pipeline.feeds.contract import treatment_text
        from claims_pipeline.warehouse.ddl import sql_type

        try:
            found = feed_named(feed)
        except KeyError as error:
            err.print(str(error.args[0]))
            raise typer.Exit(EXIT_ATTENTION) from None
        if as_json:
            print_json(found.describe())
            return
        out.print(Text(f"{found.name}:", "bold"), found.title, highlight=False)
        out.print(f"contract {found.fingerprint[:12]}, key ({', '.join(found.key)})", highlight=False)
        out.print(f"table {found.sender.name}.{found.dataset}", highlight=False)
        titles = ["delivered", "type", "class", "treatment", "stored as", "meaning"]
        rows = [
            (
                c.name + ("" if c.nullable else " *"),
                str(c.arrow),
                c.facts.pii.name.lower(),
                treatment_text(c.facts.treatment),
                ", ".join(f"{s.name} {sql_type(s.arrow)}" for s in c.stored) or "-",
                c.description,
            )
            for c in found.columns
        ]
        out.print(table("columns (* never NULL)", titles, rows))
