"""`claims-pipeline quarantine`: values are seen by `show` alone, by somebody who says why."""

from __future__ import annotations

from typing import Any

import pytest
from psycopg import errors
from typer.testing import Result

from claims_pipeline.feeds.va_form526 import SENDER
from claims_pipeline.flow import Flow
from claims_pipeline.frames import make_key_ring
from claims_pipeline.services import Services
from claims_pipeline.settings import get_settings
from claims_pipeline_tests.cli.terminal import call, call_json
from claims_pipeline_tests.fix_dagster import UPLOADS, CodeLocation, Configure, as_csv, upload_lines, upload_name
from claims_pipeline_tests.fix_quarantine import CANARY, LASTING_RULE, MIXED, STRICT_RULE, load_strictly

NAME = upload_name().rpartition("/")[2]
FEED = f"{SENDER.name}/{UPLOADS}"


@pytest.fixture
def mixed(location: CodeLocation) -> CodeLocation:
    """A dump loaded under a stricter contract than today's: rows 4 and 5 are in quarantine."""
    location.put(upload_name(), MIXED)
    load_strictly(Flow(Services(get_settings()), run_id="strict"))
    return location


def rows(location: CodeLocation, query: str) -> list[tuple[Any, ...]]:
    with location.database() as connection:
        return connection.execute(query.encode()).fetchall()


def opened(*more: str) -> Result:
    """`show` with all that it asks for."""
    return call("quarantine", "show", NAME, "--reason", "ticket 12", "--yes-print-values", *more)


# ---------------------------------------------------------------------------------------------- list


def test_list_counts_rows_by_feed_rule_day_and_contract(mixed: CodeLocation) -> None:
    found = call_json("quarantine", "list")
    groups = [(g["feed"], g["rule"], g["rows"], g["dumps"]) for g in found["groups"]]
    assert groups == [(FEED, STRICT_RULE, 1, [1]), (FEED, LASTING_RULE, 1, [1])]


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("--rule", STRICT_RULE, 1),
        ("--feed", FEED, 2),
        ("--feed", f"{SENDER.name}/form526_submissions", 0),
        ("--day", "2026-05-04", 2),
        ("--day", "2026-05-05", 0),
        ("--dump", NAME, 2),
    ],
)
def test_list_can_be_narrowed(mixed: CodeLocation, option: str, value: str, expected: int) -> None:
    assert call_json("quarantine", "list", option, value)["rows"] == expected


def test_rows_of_a_dump_that_is_not_in_effect_are_not_listed(mixed: CodeLocation) -> None:
    with mixed.database() as connection:
        connection.execute("update ops.dump set in_effect = false")
    assert call_json("quarantine", "list")["rows"] == 0


def test_list_comes_in_pages(mixed: CodeLocation) -> None:
    pages = [call_json("quarantine", "list", "--limit", "1", "--page", str(n))["groups"] for n in (1, 2, 3)]
    assert [len(page) for page in pages] == [1, 1, 0]


def test_list_is_a_table_for_people(mixed: CodeLocation) -> None:
    shown = call("quarantine", "list").stdout
    assert (STRICT_RULE in shown, "2 rows of 1 dumps" in shown) == (True, True)


def test_list_of_an_empty_quarantine_says_so(location: CodeLocation) -> None:
    result = call("quarantine", "list")
    assert (result.exit_code, "0 rows" in result.stdout) == (0, True)


# ---------------------------------------------------------------------------------------------- show


def test_places_are_told_without_opening_anything(mixed: CodeLocation) -> None:
    found = call_json("quarantine", "show", NAME)
    places = [(row["row_number"], row["line"], row["columns"], row["rules"]) for row in found]
    assert places == [(4, 5, ["attachment_id"], [STRICT_RULE]), (5, 6, ["confirmation_code"], [LASTING_RULE])]


def test_show_prints_the_row_as_delivered_with_the_broken_column_marked(mixed: CodeLocation) -> None:
    lines = opened("--row", "5").stdout.splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["submission_id", "8"],
        [">", "confirmation_code", CANARY],
        ["attachment_id", "L015"],
        ["file_name", "scan.pdf"],
    ]


def test_a_look_is_written_down(mixed: CodeLocation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAIMS_ACTOR", "an operator")
    opened()
    found = rows(mixed, "select dump_id, row_numbers, looked_by, reason from ops.quarantine_look")
    assert found == [(1, [4, 5], "an operator", "ticket 12")]


def test_what_was_written_down_stays(mixed: CodeLocation) -> None:
    opened()
    with mixed.database() as connection, pytest.raises(errors.RaiseException, match="append-only"):
        connection.execute("update ops.quarantine_look set reason = 'another'")


@pytest.mark.parametrize(
    "arguments",
    [["--yes-print-values"], ["--reason", "ticket 12"], ["--sealed-only"], ["--json"]],
    ids=["without a reason", "into a pipe", "sealed only", "json"],
)
def test_nothing_is_opened(mixed: CodeLocation, arguments: list[str]) -> None:
    result = call("quarantine", "show", NAME, *arguments)
    looks = rows(mixed, "select * from ops.quarantine_look")
    assert (CANARY in result.output, looks) == (False, [])


@pytest.mark.parametrize("arguments", [["--yes-print-values"], ["--reason", "ticket 12"]])
def test_a_refusal_to_open_ends_with_3(mixed: CodeLocation, arguments: list[str]) -> None:
    assert call("quarantine", "show", NAME, *arguments).exit_code == 3


def test_a_value_cannot_command_the_terminal(location: CodeLocation) -> None:
    location.put(upload_name(), as_csv([*upload_lines(3), "8,\x1b[2J\u202e,L015,a.pdf"]))
    call("catch-up")
    assert r"> confirmation_code  \x1b[2J\u202e" in opened().stdout


def test_a_ragged_row_is_shown_as_its_line(location: CodeLocation) -> None:
    location.put(upload_name(), as_csv([*upload_lines(3), "8,too,few"]))
    call("catch-up")
    assert "_line  8,too,few" in opened().stdout


def test_a_row_sealed_with_an_older_key_opens_while_that_key_is_kept(mixed: CodeLocation, configure: Configure) -> None:
    kept = get_settings().quarantine_keys
    assert kept is not None
    configure(quarantine_keys=f"{kept.get_secret_value()},{make_key_ring().replace('v1:', 'v2:')}")
    assert CANARY in opened().stdout


def test_a_row_whose_key_is_gone_names_the_version(mixed: CodeLocation, configure: Configure) -> None:
    configure(quarantine_keys=make_key_ring().replace("v1:", "v2:"))
    result = opened()
    assert (result.exit_code, "sealed with key 'v1'" in " ".join(result.stderr.split())) == (3, True)


# ---------------------------------------------------------------------------------------------- replay


def test_replay_loads_what_passes_now(mixed: CodeLocation) -> None:
    assert call("quarantine", "replay").exit_code == 0
    assert (mixed.live(), call_json("quarantine", "list")["rows"]) == ({UPLOADS: 4}, 1)


def test_a_dry_run_tells_and_loads_nothing(mixed: CodeLocation) -> None:
    (done,) = call_json("quarantine", "replay", "--dry-run", "--rule", STRICT_RULE)
    assert (done["passed"], mixed.live()) == ({STRICT_RULE: 1}, {UPLOADS: 3})


def test_replay_prints_no_value(mixed: CodeLocation) -> None:
    assert CANARY not in call("quarantine", "replay").output


def test_a_dump_that_cannot_be_replayed_ends_with_1(mixed: CodeLocation) -> None:
    (dump,) = mixed.dumps()
    assert dump.archive_key is not None
    mixed.s3.delete_object(Bucket=get_settings().archive_bucket, Key=dump.archive_key)
    result = call("quarantine", "replay")
    assert (result.exit_code, "dump 1:" in result.stdout) == (1, True)


def test_nothing_to_replay_ends_with_0(location: CodeLocation) -> None:
    assert call("quarantine", "replay").exit_code == 0
