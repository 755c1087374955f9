"""Runs that ended without a word: the sensor tells of them, once, and of no others."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

import dagster as dg
import pytest

from claims_pipeline.definitions import build_definitions
from claims_pipeline.feeds.va_form526 import SENDER
from claims_pipeline.local import LocalServices
from claims_pipeline.orchestration.sensors import killed_runs_sensor
from claims_pipeline.orchestration.upkeep import BACKUP, RESTORE_DRILL
from claims_pipeline.settings import PROJECT_ROOT
from claims_pipeline_tests.fix_dagster import (
    DAY,
    JOBS,
    UPLOADS,
    CodeLocation,
    Configure,
    whole_job,
)
from claims_pipeline_tests.fix_listeners import SlackAnswer, SlackListener
from claims_pipeline_tests.fix_proxy import Proxy


class Watch:
    """The sensor, evaluated as the daemon does it: with the cursor that it left."""

    def __init__(self, location: CodeLocation) -> None:
        self._location = location
        self._sensor = killed_runs_sensor()
        self._repository = build_definitions().get_repository_def()
        self.begun = self.cursor = self._tick(None)  # the first tick only notes where the event log ends

    def tick(self, *, anew: bool = False) -> None:
        """Handle what failed since the last tick; `anew`: since the first."""
        self.cursor = self._tick(self.begun if anew else self.cursor)

    def _tick(self, cursor: str | None) -> str | None:
        with dg.build_sensor_context(
            instance=self._location.instance,
            cursor=cursor,
            resources={"pipeline": self._location.pipeline},
            repository_def=self._repository,
            sensor_name=self._sensor.name,
        ) as context:
            return self._sensor.evaluate_tick(context).cursor


@pytest.fixture
def told(kept_location: CodeLocation, configure: Configure, slack_api: SlackListener) -> SlackListener:
    """The channel that the code location tells."""
    configure(slack_token="xoxb-test", slack_base_url=slack_api.base_url)
    return slack_api


@pytest.fixture
def watch(kept_location: CodeLocation, told: SlackListener) -> Watch:
    kept_location.drop(UPLOADS)
    (request,) = kept_location.look()
    kept_location.run_that_is(dg.DagsterRunStatus.NOT_STARTED, request)  # an event log is not empty in real life
    return Watch(kept_location)


def failed_run(location: CodeLocation) -> dg.DagsterRun:
    """A run of one dump that fails as run monitoring reports it: no step of it ever began."""
    (run,) = location.instance.get_runs()
    location.instance.report_run_failed(run)
    return run


def test_a_run_that_never_started_is_told_of(kept_location: CodeLocation, watch: Watch, told: SlackListener) -> None:
    run = failed_run(kept_location)
    watch.tick()
    (call,) = told.calls
    assert (SENDER.title in call.payload["text"], run.run_id in str(call.payload["blocks"])) == (True, True)


def test_the_message_of_a_killed_run_names_its_day(
    kept_location: CodeLocation, watch: Watch, told: SlackListener
) -> None:
    failed_run(kept_location)
    watch.tick()
    assert "2026-05-04" in told.calls[0].payload["text"]


def test_a_killed_run_is_told_of_once(kept_location: CodeLocation, watch: Watch, told: SlackListener) -> None:
    failed_run(kept_location)
    watch.tick()
    watch.tick(anew=True)
    assert told.methods == ["chat.postMessage"]


def test_a_killed_run_whose_slack_is_down_is_told_of_when_it_is_back(
    kept_location: CodeLocation, watch: Watch, told: SlackListener
) -> None:
    told.will_answer(SlackAnswer(error="internal_error"))
    failed_run(kept_location)
    watch.tick()
    watch.tick(anew=True)
    assert told.methods == ["chat.postMessage", "chat.postMessage"]


def test_a_failed_run_that_told_itself_is_not_told_of_again(
    kept_location: CodeLocation, watch: Watch, told: SlackListener
) -> None:
    assert not kept_location.by_hand(JOBS).success  # no dump of that day
    watch.tick()
    assert told.methods == ["chat.postMessage"]


def test_a_failed_run_of_something_else_is_not_told_of(
    kept_location: CodeLocation, watch: Watch, told: SlackListener
) -> None:
    @dg.op
    def break_down() -> None:
        raise dg.Failure(description="on purpose")

    @dg.job
    def another() -> None:
        break_down()

    another.execute_in_process(instance=kept_location.instance, raise_on_error=False)
    watch.tick()
    assert told.calls == []


def test_a_run_whose_process_was_killed_is_told_of_with_its_last_step(
    kept_location: CodeLocation,
    watch: Watch,
    told: SlackListener,
    configure: Configure,
    services: LocalServices,
    proxy_to: Callable[[str], Proxy],
) -> None:
    proxy = proxy_to(services.s3.url)
    proxy.stall()
    configure(s3_endpoint_url=proxy.in_place_of(services.s3.url))
    instance = kept_location.instance
    victim = subprocess.Popen(
        [sys.executable, "-m", "claims_pipeline_tests.orchestration.doomed_run", instance.root_directory, str(DAY)],
        cwd=PROJECT_ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        run = begun_run(instance)
    finally:
        victim.kill()
        victim.wait()
    instance.report_run_failed(run)  # as run monitoring does when it finds the process gone
    watch.tick()
    (call,) = told.calls
    assert f"raw__{SENDER.name}__{UPLOADS}" in str(call.payload["blocks"])


def begun_run(instance: dg.DagsterInstance) -> dg.DagsterRun:
    """The first run whose step has begun; waits for it."""
    give_up = time.monotonic() + 120
    while time.monotonic() < give_up:
        for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
            if instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.STEP_START).records:
                return run
        time.sleep(0.1)
    raise TimeoutError("no step of the run began")


# ---------------------------------------------------------------------------------------------- upkeep


def test_a_killed_task_of_upkeep_is_told_of(kept_location: CodeLocation, watch: Watch, told: SlackListener) -> None:
    job = whole_job().get_subset(asset_selection={BACKUP})
    run = kept_location.instance.create_run_for_job(job, asset_selection=frozenset({BACKUP}))
    kept_location.instance.report_run_failed(run)
    watch.tick()
    assert ["backup failed" in call.payload["text"] for call in told.calls] == [True]


def test_a_failed_task_of_upkeep_is_told_of_once(
    kept_location: CodeLocation, watch: Watch, told: SlackListener
) -> None:
    whole_job().execute_in_process(
        instance=kept_location.instance, asset_selection=[RESTORE_DRILL], raise_on_error=False
    )  # there is no backup
    watch.tick()
    assert ["restore drill failed" in call.payload["text"] for call in told.calls] == [True]
