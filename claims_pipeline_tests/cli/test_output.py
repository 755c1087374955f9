"""Names and values are printed as they are: in brackets, too, which rich would read as markup."""

from __future__ import annotations

import pytest
import typer

from claims_pipeline.cli.output import errors_in_one_line, out, table
from claims_pipeline.errors import ClaimsPipelineError


def test_brackets_in_a_cell_and_in_a_line_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    out.print(table("", ["file"], [["report[final].csv"]]))
    out.print("of [/b].csv")
    shown = capsys.readouterr().out
    assert ("report[final].csv" in shown, "of [/b].csv" in shown) == (True, True)


def test_an_error_that_names_brackets_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit), errors_in_one_line():
        raise ClaimsPipelineError("no dump is named a[/].csv")
    assert capsys.readouterr().err == "Error: no dump is named a[/].csv\n"
