"""`erase` and `token` as a person types them."""

from __future__ import annotations

import pytest

from claims_pipeline_tests.cli.terminal import call, call_json
from claims_pipeline_tests.fix_dagster import CodeLocation
from claims_pipeline_tests.fix_pipeline import SUBMISSIONS, written

OPTIONS = ("--sender", "va_form526", "--reason", "asked to be forgotten")


@pytest.fixture
def token(location: CodeLocation) -> str:
    """Of somebody in a loaded dump."""
    for key, body in written(SUBMISSIONS, rows=12)[1].items():
        location.put(key.removeprefix("526/"), body)
    assert call("catch-up").exit_code == 0
    with location.database() as connection:
        row = connection.execute(
            f"select person_key from va_form526.{SUBMISSIONS} where person_key is not null order by id"
        ).fetchone()
    assert row is not None
    return str(row[0])


def test_a_dry_run_says_what_would_go_and_that_nothing_was_changed(token: str) -> None:
    result = call("erase", "--token", token, *OPTIONS, "--dry-run")
    assert result.exit_code == 0
    assert "Nothing was changed." in result.stdout
    assert call_json("erase", "--token", token, *OPTIONS, "--dry-run")[0]["objects"]


def test_an_erasure_says_its_number_and_leaves_nothing_for_a_second_one(token: str) -> None:
    result = call("erase", "--token", token, *OPTIONS)
    assert result.exit_code == 0
    assert "erasure 1" in result.stdout
    assert call("erase", "--token", token, *OPTIONS).exit_code == 1


def test_erase_asks_whose_rows_and_why(location: CodeLocation) -> None:
    result = call("erase", "--sender", "va_form526")
    assert result.exit_code == 3
    assert "--reason" in result.stderr


def test_again_without_an_erased_person_does_nothing(location: CodeLocation) -> None:
    call("catch-up")
    result = call("erase", "--again")
    assert (result.exit_code, "No row of an erased person" in result.stdout) == (0, True)


def test_a_token_is_made_from_what_stands_in_the_standard_input(location: CodeLocation) -> None:
    call("catch-up")
    options = ("token", "--sender", "va_form526", "--family", "icn", "--reason", "a request")
    result = call(*options, answer="1012667145V762142\n")
    assert result.exit_code == 0
    assert result.stdout.startswith("v1_")
    assert "1012667145V762142" not in result.output
