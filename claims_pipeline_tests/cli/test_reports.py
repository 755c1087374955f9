"""`reports` as a person types it, and reports that `catch-up` brings up to date."""

from __future__ import annotations

import pytest

from claims_pipeline_tests.cli.terminal import call, call_json
from claims_pipeline_tests.fix_dagster import SUBMISSIONS, CodeLocation

VIEW = "submissions_per_day"


@pytest.fixture
def loaded(location: CodeLocation) -> CodeLocation:
    """A code location that has caught up with forty submissions."""
    location.drop(SUBMISSIONS, rows=40)
    assert call("catch-up").exit_code == 0
    return location


def made(location: CodeLocation) -> tuple[object, ...] | None:
    """When the report was made last, and how many rows it has."""
    with location.database() as connection:
        return connection.execute("select refreshed_at, parts from ops.report where report = %s", [VIEW]).fetchone()


def test_catch_up_makes_the_reports(loaded: CodeLocation) -> None:
    found = made(loaded)
    assert found is not None
    assert found[1] != 0


def test_a_catch_up_without_dumps_leaves_them(loaded: CodeLocation) -> None:
    before = made(loaded)
    assert call("catch-up").exit_code == 0
    assert made(loaded) == before


def test_a_report_that_cannot_be_made_does_not_hide_the_loads(loaded: CodeLocation) -> None:
    with loaded.database() as connection:
        connection.execute("update ops.report set definition = 'of an older version' where report = %s", [VIEW])
    loaded.drop(SUBMISSIONS, rows=20, first=loaded.dumps()[0].delivery_day.replace(day=20))
    result = call("catch-up")
    assert result.exit_code == 1
    assert "Reports are as they were" in result.stderr
    assert "claims-pipeline migrate" in " ".join(result.stderr.split())
    assert {dump.status.value for dump in loaded.dumps()} == {"loaded"}


def test_refresh_says_that_nothing_is_to_be_done(loaded: CodeLocation) -> None:
    result = call("reports", "refresh", "--sender", "va_form526")
    assert (result.exit_code, result.stdout.count("up to date")) == (0, 5)


def test_refresh_by_force_makes_them_again(loaded: CodeLocation) -> None:
    before = made(loaded)
    done = call_json("reports", "refresh", "--sender", "va_form526", "--force")
    assert {one["made"] for one in done} == {True}
    assert made(loaded) != before


def test_list_shows_what_there_is_and_of_which_day(loaded: CodeLocation) -> None:
    found = {entry["report"]: entry for entry in call_json("reports", "list")}
    assert found[VIEW]["groups"] == ["outcome", "endpoint", "state"]
    assert found[VIEW]["as_of"] is not None
    assert found["invoices_per_month"]["parts"] == 0


def test_a_sender_that_is_not_known_is_named(location: CodeLocation) -> None:
    result = call("reports", "list", "--sender", "nobody")
    assert result.exit_code == 3
    assert "va_form526" in result.stderr
