"""`claims-pipeline rebuild` and `rebuild-drill`: what they print, how they end."""

from __future__ import annotations

import json

import pytest

from claims_pipeline.feeds.va_form526 import SENDER
from claims_pipeline_tests.cli.terminal import call, call_json
from claims_pipeline_tests.fix_dagster import UPLOADS, CodeLocation, Configure, as_csv, upload_lines, upload_name

FEED = f"{SENDER.name}/{UPLOADS}"


@pytest.fixture
def filled(location: CodeLocation) -> CodeLocation:
    """A code location with a few uploads in the table."""
    location.put(upload_name(), as_csv(upload_lines()))
    assert call("catch-up").exit_code == 0
    return location


def test_equal_tables_end_with_0_and_say_so(filled: CodeLocation, database_url: str) -> None:
    result = call("rebuild", "--into", database_url, "--feed", FEED, "--compare")
    assert (result.exit_code, "equal: 2 tables and histories" in result.stdout) == (0, True)


def test_the_url_can_come_from_the_environment(
    filled: CodeLocation, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLAIMS_REBUILD_URL", database_url)
    result = call("rebuild", "--feed", FEED)
    assert (result.exit_code, "rebuilt: 1 dumps (1 loaded), 3 rows in 1 tables" in result.stdout) == (0, True)


def test_a_table_that_differs_is_named_with_counts_and_ends_with_1(filled: CodeLocation, database_url: str) -> None:
    with filled.database() as connection:
        connection.execute(f"delete from {SENDER.name}.{UPLOADS} where submission_id = 1000001".encode())
    result = call("rebuild", "--into", database_url, "--feed", FEED, "--compare")
    line = next(line for line in result.stdout.splitlines() if f"{SENDER.name}.{UPLOADS}" in line)
    assert (result.exit_code, line.split()[1:]) == (1, ["2", "3", "0", "1"])


def test_programs_get_json(filled: CodeLocation, database_url: str) -> None:
    found = call_json("rebuild", "--into", database_url, "--feed", FEED, "--compare")
    assert (found["rebuilt"]["statuses"], found["comparison"]["differences"]) == ({"loaded": 1}, [])


def test_the_live_database_is_refused_in_one_line(filled: CodeLocation) -> None:
    result = call("rebuild", "--into", filled.database_url)
    assert (result.exit_code, "not empty" in result.stderr) == (3, True)


def test_an_unknown_feed_is_refused_with_those_that_exist(location: CodeLocation, database_url: str) -> None:
    result = call("rebuild", "--into", database_url, "--feed", "no/such")
    assert (result.exit_code, FEED in result.stderr.replace("\n", "")) == (3, True)


# ---------------------------------------------------------------------------------------------- the drill


def test_a_drill_of_tables_that_can_be_made_again_ends_with_0_and_is_on_record(filled: CodeLocation) -> None:
    result = call("rebuild-drill")
    assert (result.exit_code, f"drilled: {FEED}\nrebuilt: 1 dumps" in result.stdout) == (0, True)
    assert "equal: 2 tables and histories" in result.stdout
    with filled.database() as connection:
        assert connection.execute("select feeds, passed from ops.rebuild").fetchall() == [([FEED], True)]


def test_a_drill_that_finds_a_difference_ends_with_1_and_names_it(filled: CodeLocation) -> None:
    with filled.database() as connection:
        connection.execute(f"delete from {SENDER.name}.{UPLOADS} where submission_id = 1000001".encode())
    result = call("rebuild-drill", "--json")
    found = json.loads(result.stdout)
    assert (result.exit_code, found["rebuilt"]["feeds"]) == (1, [FEED])
    assert [one["table"] for one in found["comparison"]["differences"]] == [f"{SENDER.name}.{UPLOADS}"]


def test_a_drill_without_any_dump_has_nothing_to_do(location: CodeLocation) -> None:
    result = call("rebuild-drill", "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (0, {"rebuilt": None, "comparison": None})


def test_a_drill_that_cannot_be_made_ends_with_3(filled: CodeLocation, configure: Configure) -> None:
    configure(rebuild_drill_bytes=1)
    result = call("rebuild-drill")
    assert (result.exit_code, "CLAIMS_REBUILD_DRILL_BYTES" in result.stderr) == (3, True)
