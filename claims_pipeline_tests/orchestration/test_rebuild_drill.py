"""The rebuild drill in Dagster: what it shows, that it fails when the live tables are others, and what it leaves."""

from __future__ import annotations

import dagster as dg
import pytest

from claims_pipeline.feeds.va_form526 import SENDER
from claims_pipeline.orchestration.rebuild_drill import REBUILD_DRILL
from claims_pipeline.settings import get_settings
from claims_pipeline_tests.fix_dagster import (
    JOBS,
    UPLOADS,
    CodeLocation,
    Configure,
    as_csv,
    upload_lines,
    upload_name,
    whole_job,
)
from claims_pipeline_tests.fix_listeners import SlackListener

CHECK = ("ops/rebuild_drill", "rebuild_equals_table")


def drill(location: CodeLocation) -> dg.ExecuteInProcessResult:
    return whole_job().execute_in_process(
        instance=location.instance, asset_selection=[REBUILD_DRILL], raise_on_error=False
    )


def drilled(location: CodeLocation) -> list[tuple[list[str], bool]]:
    """The drills on record: feeds, and whether they were equal."""
    with location.database() as connection:
        query = "select feeds, passed from ops.rebuild where kind = 'drill' order by rebuild_id"
        return [(feeds, passed) for feeds, passed in connection.execute(query)]


@pytest.fixture
def filled(location: CodeLocation) -> CodeLocation:
    """A code location with a few uploads in the table."""
    location.put(upload_name(), as_csv(upload_lines()))
    location.deliver()
    return location


@pytest.fixture
def changed(filled: CodeLocation) -> CodeLocation:
    """The same, one row changed by hand."""
    with filled.database() as connection:
        connection.execute(f"delete from {SENDER.name}.{UPLOADS} where submission_id = 1000001".encode())
    return filled


def test_tables_that_can_be_made_again_pass(filled: CodeLocation) -> None:
    result = drill(filled)
    assert (result.success, filled.checks(result)) == (True, {CHECK: True})


def test_a_drill_is_on_record(filled: CodeLocation) -> None:
    drill(filled)
    assert drilled(filled) == [([f"{SENDER.name}/{UPLOADS}"], True)]


def test_the_next_drill_takes_another_feed(filled: CodeLocation) -> None:
    filled.drop(JOBS)
    filled.deliver()
    for _ in range(2):
        drill(filled)
    assert {feed for feeds, _ in drilled(filled) for feed in feeds} == {f"{SENDER.name}/{n}" for n in (JOBS, UPLOADS)}


def test_live_tables_that_differ_fail_the_check_and_the_run(changed: CodeLocation) -> None:
    result = drill(changed)
    assert (result.success, changed.checks(result)) == (False, {CHECK: False})


def test_a_difference_is_on_record(changed: CodeLocation) -> None:
    drill(changed)
    assert [passed for _, passed in drilled(changed)] == [False]


def test_a_difference_is_told_with_what_to_do(
    changed: CodeLocation, slack_api: SlackListener, configure: Configure
) -> None:
    configure(slack_token="xoxb-test", slack_base_url=slack_api.base_url)
    drill(changed)
    (call,) = slack_api.calls
    told = str(call)
    assert f"{SENDER.name}.{UPLOADS}: 0 live rows were not made again, 1 rows are in the rebuild only" in told
    assert "What to do" in told


def test_nothing_is_left_of_a_drill(filled: CodeLocation) -> None:
    drill(filled)
    with filled.database() as connection:
        left = connection.execute(
            "select count(*) from pg_database d, pg_database own where own.datname = current_database()"
            " and starts_with(d.datname, 'claims_scratch_rebuild_' || own.oid || '_')"
        ).fetchone()
    found = filled.s3.list_objects_v2(Bucket=get_settings().archive_bucket, Prefix="rebuild/")
    assert (left, found.get("Contents", [])) == ((0,), [])


def test_without_any_dump_there_is_nothing_to_drill(location: CodeLocation) -> None:
    result = drill(location)
    assert (result.success, drilled(location)) == (True, [])


def test_feeds_that_are_all_too_large_fail_the_check(filled: CodeLocation, configure: Configure) -> None:
    configure(rebuild_drill_bytes=1)
    result = drill(filled)
    assert (result.success, filled.checks(result)) == (False, {CHECK: False})
