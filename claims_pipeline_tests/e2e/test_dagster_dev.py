"""`claims-pipeline dev` as a newcomer starts it: UI, daemon, sensor and a launched run, and its end."""

from __future__ import annotations

import pytest

from claims_pipeline_tests.fix_dagster import UPLOADS, DagsterDev

pytestmark = pytest.mark.slow

SWITCHES = """
{ workspaceOrError { ... on Workspace { locationEntries { locationOrLoadError { ... on RepositoryLocation {
  repositories { sensors { sensorState { status } } schedules { scheduleState { status } } } } } } } } }
"""


def test_sensors_and_schedules_run_without_being_switched_on(dagster_dev: DagsterDev) -> None:
    answer = str(dagster_dev.graphql(SWITCHES))
    assert (answer.count("'status': 'RUNNING'") >= 4, "STOPPED" in answer) == (True, False)


def test_a_dump_that_comes_into_the_inbox_is_loaded_by_itself(dagster_dev: DagsterDev) -> None:
    manifest = dagster_dev.drop(UPLOADS)
    dagster_dev.wait_for(lambda: dagster_dev.settled() == 1)
    assert dagster_dev.rows(UPLOADS) == manifest.live[UPLOADS]


def test_sigterm_ends_it_and_all_its_children(dagster_dev: DagsterDev) -> None:
    dagster_dev.stop()
    assert dagster_dev.left_over() == []
