"""The asset `ops/prune`: listed first, deleted if the settings say so, shown in the UI, told when it fails."""

from __future__ import annotations

import dagster as dg
import pytest

from claims_pipeline.orchestration.prune import PRUNE
from claims_pipeline.settings import get_settings
from claims_pipeline_tests.fix_dagster import CodeLocation, Configure, whole_job


@pytest.fixture
def old_message(location: CodeLocation) -> CodeLocation:
    """A code location with something to prune."""
    with location.database() as connection:
        connection.execute(
            "insert into ops.message (run_id, channel, ts, sent_at) values ('old', '', '', now() - interval '1 year')"
        )
    return location


def materialize(location: CodeLocation) -> dg.ExecuteInProcessResult:
    return whole_job().execute_in_process(
        instance=location.instance,
        asset_selection=[PRUNE],
        raise_on_error=False,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )


def count(location: CodeLocation, query: str) -> list[tuple[object, ...]]:
    with location.database() as connection:
        return connection.execute(query.encode()).fetchall()


def test_it_deletes_what_it_lists(old_message: CodeLocation) -> None:
    result = materialize(old_message)
    assert (result.success, count(old_message, "select run_id from ops.message")) == (True, [])


def test_a_dry_run_is_audited_before_the_prune(old_message: CodeLocation) -> None:
    result = materialize(old_message)
    query = "select dry_run, items, run_id, requested_by from ops.upkeep where kind = 'messages' order by upkeep_id"
    assert count(old_message, query) == [(dry, 1, result.run_id, "ops/prune") for dry in (True, False)]


def test_it_only_lists_where_the_settings_say_so(old_message: CodeLocation, configure: Configure) -> None:
    configure(prune="dry-run")
    materialize(old_message)
    assert count(old_message, "select run_id from ops.message") == [("old",)]


def test_the_ui_shows_what_went(old_message: CodeLocation) -> None:
    (done,) = materialize(old_message).asset_materializations_for_node("ops__prune")
    assert (done.metadata["items"].value, done.metadata["dry_run"].value) == (1, False)


def test_it_fails_when_a_chore_could_not_be_done_and_names_it(location: CodeLocation) -> None:
    location.s3.delete_bucket(Bucket=get_settings().archive_bucket)
    result = materialize(location)
    failure = result.get_step_failure_events()[0].step_failure_data.error
    assert (result.success, failure is not None and "uploads to the archive that never ended" in failure.message) == (
        False,
        True,
    )
