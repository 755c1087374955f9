"""The code location as people see it, written out: a change of the graph that nobody meant is seen here."""

from __future__ import annotations

from dataclasses import replace

import dagster as dg
import pytest

from claims_pipeline.definitions import build_definitions
from claims_pipeline.feeds import feed_named
from claims_pipeline.feeds.contract import Snapshot
from claims_pipeline.orchestration.assets import feed_assets
from claims_pipeline.vocabulary import CheckName

DATASETS = {
    "va_form526": [
        "form526_contentions",
        "form526_job_statuses",
        "form526_submission_remediations",
        "form526_submissions",
        "form526_uploads",
    ],
    "indici": [
        "allergies",
        "appointment_medications",
        "appointments",
        "diagnoses",
        "immunisations",
        "invoice_details",
        "invoices",
        "measurements",
        "medicines",
        "patients",
        "practice_info",
        "providers",
        "recalls",
    ],
}
"""Every sender and its datasets. A new sender is a new line here."""

CHECKS = {
    "raw/": ["intact"],
    "validated/": ["contract", "rejects_within_budget"],
    "": ["fresh", "key_unique", "row_conservation", "volume_in_range"],
}
"""Every layer of a dataset, and its checks."""

UPKEEP: dict[str, list[str]] = {
    "ops/audit": ["audit_unbroken"],
    "ops/backup": [],
    "ops/prune": [],
    "ops/rebuild_drill": ["rebuild_equals_table"],
    "ops/restore_drill": ["restore_equals_backup"],
}
"""Tasks of upkeep, and their checks."""

REPORTS = {
    "indici": [
        "appointments_per_month",
        "immunisations_per_month",
        "indici_diagnoses",
        "indici_measurements",
        "indici_patients",
        "indici_recalls",
        "invoices_per_month",
        "medications_per_month",
    ],
    "va_form526": [
        "contentions_per_month",
        "duplicate_submissions",
        "submissions_by_mailing_state",
        "submissions_per_day",
        "time_to_remediation",
    ],
}
"""Reports, by the sender whose tables they ask."""

BI = {f"bi/{report}": ["small_groups_merged"] for reports in REPORTS.values() for report in reports}

FEEDS = [f"{sender}/{dataset}" for sender, datasets in DATASETS.items() for dataset in datasets]


@pytest.fixture(scope="module")
def repository() -> dg.RepositoryDefinition:
    return build_definitions().get_repository_def()


@pytest.fixture(scope="module")
def everything() -> dict[str, dg.AssetSpec]:
    return {spec.key.to_user_string(): spec for spec in build_definitions().resolve_all_asset_specs()}


@pytest.fixture(scope="module")
def specs(everything: dict[str, dg.AssetSpec]) -> dict[str, dg.AssetSpec]:
    """The assets of feeds."""
    return {name: spec for name, spec in everything.items() if name not in UPKEEP and name not in BI}


def test_every_dataset_has_three_layers_and_nothing_else_is_there(specs: dict[str, dg.AssetSpec]) -> None:
    assert sorted(specs) == sorted(f"{layer}{feed}" for layer in CHECKS for feed in FEEDS)


def test_upkeep_is_a_group_without_partitions(everything: dict[str, dg.AssetSpec]) -> None:
    found = {name: (spec.partitions_def, spec.group_name) for name, spec in everything.items() if name in UPKEEP}
    assert found == dict.fromkeys(UPKEEP, (None, "upkeep"))


def test_reports_are_a_group_without_partitions_behind_tables(everything: dict[str, dg.AssetSpec]) -> None:
    found = {name: spec for name, spec in everything.items() if name in BI}
    assert sorted(found) == sorted(BI)
    assert {(spec.partitions_def, spec.group_name) for spec in found.values()} == {(None, "bi")}
    for sender, reports in REPORTS.items():
        for report in reports:
            behind = {dep.asset_key.to_user_string() for dep in found[f"bi/{report}"].deps}
            assert behind
            assert behind <= {f"{sender}/{dataset}" for dataset in DATASETS[sender]}


def test_each_asset_has_its_checks(repository: dg.RepositoryDefinition) -> None:
    found = sorted(f"{key.asset_key.to_user_string()}: {key.name}" for key in repository.asset_graph.asset_check_keys)
    expected = [f"{layer}{feed}: {name}" for layer, names in CHECKS.items() for name in names for feed in FEEDS]
    expected += [f"{task}: {name}" for task, names in (UPKEEP | BI).items() for name in names]
    assert found == sorted(expected)


def test_each_layer_comes_from_the_one_before(specs: dict[str, dg.AssetSpec]) -> None:
    found = {key: [dep.asset_key.to_user_string() for dep in spec.deps] for key, spec in specs.items()}
    expected: dict[str, list[str]] = {}
    for feed in FEEDS:
        expected |= {f"raw/{feed}": [], f"validated/{feed}": [f"raw/{feed}"], feed: [f"validated/{feed}"]}
    assert found == expected


def test_each_sender_is_a_group(specs: dict[str, dg.AssetSpec]) -> None:
    assert {spec.group_name for spec in specs.values()} == set(DATASETS)


def test_every_asset_has_an_owner_a_version_and_a_description(everything: dict[str, dg.AssetSpec]) -> None:
    assert all(spec.owners and spec.code_version and spec.description for spec in everything.values())


def test_every_asset_of_a_feed_is_partitioned_by_day_up_to_today(specs: dict[str, dg.AssetSpec]) -> None:
    found = [spec.partitions_def for spec in specs.values()]
    assert all(isinstance(days, dg.DailyPartitionsDefinition) and days.end_offset == 1 for days in found)


def test_only_the_table_has_a_freshness_policy(specs: dict[str, dg.AssetSpec]) -> None:
    assert sorted(key for key, spec in specs.items() if spec.freshness_policy) == sorted(FEEDS)


def test_sensors(repository: dg.RepositoryDefinition) -> None:
    names = sorted(sensor.name for sensor in repository.sensor_defs)
    once = ["heartbeat", "killed_runs", "reports", "unwatched"]
    assert names == sorted([*(f"arrivals_{sender}" for sender in DATASETS), *once])


def test_schedules_and_their_times(repository: dg.RepositoryDefinition) -> None:
    found = {s.name: (s.cron_schedule, s.execution_timezone) for s in repository.schedule_defs}
    assert found == {
        "audit": ("30 1 * * *", "UTC"),
        "backup": ("0 2 * * *", "UTC"),
        "digest": ("0 16 * * *", None),
        "missing_indici": ("0 10 * * *", "Pacific/Auckland"),
        "missing_va_form526": ("0 9 * * *", "UTC"),
        "prune": ("0 3 * * *", "UTC"),
        "rebuild_drill": ("0 5 * * 0", "UTC"),
        "restore_drill": ("0 4 * * 0", "UTC"),
        "upkeep_age": ("30 * * * *", "UTC"),
    }


def test_sensors_and_schedules_run_without_being_switched_on(repository: dg.RepositoryDefinition) -> None:
    sensors = {sensor.default_status for sensor in repository.sensor_defs}
    schedules = {schedule.default_status for schedule in repository.schedule_defs}
    assert (sensors, schedules) == ({dg.DefaultSensorStatus.RUNNING}, {dg.DefaultScheduleStatus.RUNNING})


def test_every_job_behind_a_sensor_or_schedule_can_be_loaded(repository: dg.RepositoryDefinition) -> None:
    """Senders have partitions of their own, and one job cannot span them: `dagster dev` would not start."""
    assert len(repository.get_all_jobs()) == len(repository.job_names)


def test_jobs_that_people_launch(repository: dg.RepositoryDefinition) -> None:
    found = {name for name in repository.job_names if not name.startswith("__")}
    assert found == {"decide_held", "replay_quarantine"}


def test_a_feed_of_snapshots_has_a_check_of_its_own() -> None:
    feed, name = (
        replace(feed_named("va_form526/form526_uploads"), snapshot=Snapshot()),
        CheckName.DELETIONS_WITHIN_BUDGET,
    )
    found = {key.asset_key.path[0] for asset in feed_assets(feed) for key in asset.check_keys if key.name == name.value}
    assert found == {"validated", feed.sender.name}


@pytest.mark.parametrize("feed", FEEDS)
def test_every_layer_shows_its_columns_in_the_ui(specs: dict[str, dg.AssetSpec], feed: str) -> None:
    schemas = [specs[f"{layer}{feed}"].metadata["dagster/column_schema"] for layer in CHECKS]
    assert all(isinstance(schema, dg.TableSchema) and schema.columns for schema in schemas)


@pytest.mark.parametrize("feed", FEEDS)
def test_the_ui_can_trace_every_stored_column_to_the_raw_dump(specs: dict[str, dg.AssetSpec], feed: str) -> None:
    def origins(key: str) -> dict[str, str]:
        lineage = specs[key].metadata["dagster/column_lineage"]
        assert isinstance(lineage, dg.TableColumnLineage)
        return {
            name: f"{dep.asset_key.to_user_string()}: {dep.column_name}"
            for name, deps in lineage.deps_by_column.items()
            for dep in deps
        }

    schema = specs[feed].metadata["dagster/column_schema"]
    stored = [column.name for column in schema.columns if not column.name.startswith("_")]
    table, validated = origins(feed), origins(f"validated/{feed}")
    raw = {column.name for column in specs[f"raw/{feed}"].metadata["dagster/column_schema"].columns}
    assert sorted(table) == sorted(stored)
    assert {validated[name] for name in stored} <= {f"raw/{feed}: {name}" for name in raw}
    assert all(table[name] == f"validated/{feed}: {name}" for name in stored)
