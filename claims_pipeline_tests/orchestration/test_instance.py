"""The Dagster instance that the settings ask for: SQLite in the state folder, or Postgres."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest
import yaml

from claims_pipeline.cli.dev import dagster_environment
from claims_pipeline.orchestration.instance import prepare_home
from claims_pipeline.settings import PROJECT_ROOT, get_settings
from claims_pipeline_tests.fix_dagster import Configure


@dg.op
def nothing() -> None:
    """A step that does nothing."""


@dg.job
def idle() -> None:
    """A run that leaves events."""
    nothing()


def runs_after_one(home: Path) -> tuple[str, list[str]]:
    """A run carried out in the instance of a home, and the runs that another look at it lists."""
    with dg.DagsterInstance.from_config(str(home)) as instance:
        run_id = idle.execute_in_process(instance=instance).run_id
    with dg.DagsterInstance.from_config(str(home)) as instance:
        events = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.RUN_SUCCESS).records
        assert len(events) == 1
        return run_id, [run.run_id for run in instance.get_runs()]


def test_without_settings_runs_are_kept_in_the_state_folder(configure: Configure, tmp_path: Path) -> None:
    run_id, listed = runs_after_one(prepare_home(get_settings()))
    assert listed == [run_id]
    assert any((tmp_path / "state" / "dagster").rglob("*.db"))


def test_runs_are_kept_in_postgres_where_its_url_is_set(configure: Configure, database_url: str) -> None:
    configure(dagster_storage_url=database_url)
    run_id, listed = runs_after_one(prepare_home(get_settings()))
    assert listed == [run_id]


def test_the_password_of_dagsters_storage_is_not_written(
    configure: Configure, tmp_path: Path, database_url: str
) -> None:
    configure(dagster_storage_url=database_url)
    home = prepare_home(get_settings())
    assert database_url not in (home / "dagster.yaml").read_text()


def test_dagsters_processes_get_the_storage_url_that_may_stand_in_a_file_only(
    configure: Configure, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("CLAIMS_DAGSTER_STORAGE_URL=postgresql://u:p@127.0.0.1/d\n")
    assert dagster_environment()["CLAIMS_DAGSTER_STORAGE_URL"] == "postgresql://u:p@127.0.0.1/d"


def test_the_home_says_what_the_roots_configuration_says(configure: Configure) -> None:
    written = yaml.safe_load((prepare_home(get_settings()) / "dagster.yaml").read_text())
    root = yaml.safe_load((PROJECT_ROOT / "dagster.yaml").read_text())
    places = {"storage", "local_artifact_storage", "compute_logs"}
    assert {k: v for k, v in written.items() if k not in places} == {k: v for k, v in root.items() if k not in places}


def test_a_home_that_is_up_to_date_is_left_alone(configure: Configure) -> None:
    first = (prepare_home(get_settings()) / "dagster.yaml").stat()
    second = (prepare_home(get_settings()) / "dagster.yaml").stat()
    assert first.st_ino == second.st_ino
