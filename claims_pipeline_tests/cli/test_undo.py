"""`undo` and `redo` as a person types them."""

from __future__ import annotations

import pytest

from claims_pipeline_tests.cli.terminal import call, call_json
from claims_pipeline_tests.fix_dagster import CodeLocation, as_csv, upload_lines, upload_name

NAME = upload_name().rpartition("/")[2]


@pytest.fixture
def loaded(location: CodeLocation) -> CodeLocation:
    """A code location with one loaded dump of three rows."""
    location.put(upload_name(), as_csv(upload_lines(3)))
    assert call("catch-up").exit_code == 0
    return location


def status() -> str:
    ((dump,),) = ([story["dump"] for story in call_json("explain", NAME)],)
    return str(dump["status"])


def test_undo_says_what_it_did_and_how_to_take_it_back(loaded: CodeLocation) -> None:
    result = call("undo", NAME, "--reason", "withdrawn")
    assert (result.exit_code, status()) == (0, "undone")
    assert "3 rows left the table" in result.stdout
    assert "claims-pipeline redo" in result.stdout


def test_redo_puts_it_back(loaded: CodeLocation) -> None:
    call("undo", NAME, "--reason", "withdrawn")
    result = call("redo", NAME, "--reason", "right after all")
    assert (result.exit_code, status()) == (0, "loaded")


def test_undo_asks_for_a_reason(loaded: CodeLocation) -> None:
    assert call("undo", NAME).exit_code == 2
    assert status() == "loaded"


def test_undo_of_what_is_not_in_effect_says_so(loaded: CodeLocation) -> None:
    call("undo", NAME, "--reason", "withdrawn")
    result = call("undo", NAME, "--reason", "withdrawn")
    assert result.exit_code == 3
    assert "is in effect: dump 1 is undone" in " ".join(result.stderr.split())
