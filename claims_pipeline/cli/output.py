"""What commands print: tables for people, JSON for programs, and errors in one line.

Belongs here: formatting that more than one command uses, and who sits at the terminal. No value of a record is ever
printed, but by `quarantine show`.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import getpass
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from claims_pipeline.errors import ClaimsPipelineError, Transient, safe_text, whereabouts

if TYPE_CHECKING:
    from claims_pipeline.warehouse.ledger import Dump

_WIDTH_OF_A_FILE = 160  # where no terminal says how wide it is, lines are not broken at 80
# No markup is read: in a sender's file name or a quarantined value "[final]" would vanish, and "[/]" end the command.
out = Console(width=None if sys.stdout.isatty() else _WIDTH_OF_A_FILE, soft_wrap=False, markup=False)
err = Console(stderr=True, markup=False)

_SHORT = 24
"""Characters up to which a cell is never broken."""

EXIT_ATTENTION = 1
"""Everything ran, but a dump was refused, held, failed or unknown, or a check failed."""
EXIT_ERROR = 3
"""It could not run: settings, database or S3."""


def actor() -> str:
    """Who gives the command, for the audit: CLAIMS_ACTOR where programs or shared accounts set it, else the user."""
    return os.environ.get("CLAIMS_ACTOR") or getpass.getuser()


def to_json(value: object) -> object:
    """Dataclasses, dates, enums and paths as plain JSON values."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, dt.date | dt.datetime):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, dict):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [to_json(item) for item in value]
    return value


def print_json(value: object) -> None:
    """Write a value as JSON to standard output."""
    sys.stdout.write(json.dumps(to_json(value), indent=2) + "\n")


def counting(unit: str) -> Progress:
    """A line of progress on standard error that goes away at the end: what is done, how many of how many, how long.

    Args:
        unit: of what is counted, in the plural.
    """
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        console=err,
        transient=True,
    )


def print_not_read_yet(dumps: Sequence[Dump]) -> None:
    """A line for each dump that was seen and may not be read yet, with the reason."""
    for dump in dumps:
        out.print(Text("  not read yet", "yellow"), f"{dump.key}: {dump.reason}", highlight=False)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    """A table; numbers are right-aligned with thousands separated, None is a dash, a `Text` has its style."""
    made = Table(title=title, title_justify="left", header_style="bold", title_style="bold", box=SIMPLE_HEAD)
    numeric = [bool(rows) and all(isinstance(row[i], int | None) for row in rows) for i in range(len(columns))]
    for place, (name, right) in enumerate(zip(columns, numeric, strict=True)):
        short = all(len(_cell(row[place])) <= _SHORT for row in rows)
        made.add_column(name, justify="right" if right else "left", overflow="fold", no_wrap=short or place == 0)
    for row in rows:
        made.add_row(*(_cell(value) for value in row))
    return made


def _cell(value: object) -> str | Text:
    if isinstance(value, Text):
        return value
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    return str(value)


@contextmanager
def errors_in_one_line() -> Iterator[None]:
    """End a command with one line and exit code 3 instead of a traceback, whose text might quote a record."""
    try:
        yield
    except (typer.Exit, typer.Abort):
        raise
    except Transient as error:
        err.print(Text("Not reachable:", "red"), str(error), highlight=False)
        raise typer.Exit(EXIT_ERROR) from None
    except ClaimsPipelineError as error:
        err.print(Text("Error:", "red"), str(error), highlight=False)
        raise typer.Exit(EXIT_ERROR) from None
    except Exception as error:
        err.print(Text("Defect:", "red"), f"{safe_text(error)} at {whereabouts(error)}", highlight=False)
        raise typer.Exit(EXIT_ERROR) from None
