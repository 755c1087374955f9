"""The values of the Dagster chart: keys that it knows, an instance that Dagster accepts, and that is ours."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster_aws.s3 import S3ComputeLogManager
from dagster_k8s import K8sRunLauncher
from kubernetes import client

from claims_pipeline.settings import PROJECT_ROOT
from claims_pipeline_tests.deploy.chart import KUBERNETES, PLACES, dagster_yaml, unknown_keys, values_of
from claims_pipeline_tests.deploy.manifests import faults_of_pod


@pytest.mark.parametrize("place", PLACES)
def test_every_key_is_one_of_the_chart(place: str) -> None:
    assert unknown_keys(values_of(place)) == []


def test_a_key_that_is_none_of_the_chart_is_found() -> None:
    values = values_of("lhdi")
    values["dagsterDaemon"]["runMonitoring"]["freeSlots"] = 1
    values["dagster-user-deployments"]["deployments"][0]["envSecret"] = []
    assert unknown_keys(values) == [
        "dagsterDaemon.runMonitoring.freeSlots",
        "dagster-user-deployments.deployments.*.envSecret",
    ]


def test_the_version_of_the_chart_is_that_of_dagster() -> None:
    assert f"chart_version={version('dagster')}\n" in (KUBERNETES / "rollout.sh").read_text()


@pytest.mark.parametrize("place", PLACES)
def test_dagster_accepts_the_instance(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = dagster_yaml(values_of(place))
    monkeypatch.setenv("DAGSTER_PG_PASSWORD", "x")
    classes: dict[str, Any] = {"run_launcher": K8sRunLauncher, "compute_logs": S3ComputeLogManager}
    for name, cls in classes.items():
        checked = dg.validate_run_config(
            _job(cls.config_type()), {"ops": {"takes": {"config": config[name]["config"]}}}
        )
        assert checked
    # The instance itself, but for what would connect: the launcher to a cluster, the storage to a database.
    config["run_launcher"] = {"module": "dagster.core.launcher", "class": "DefaultRunLauncher"}
    del config["storage"]
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(config))
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert instance.telemetry_enabled is False


def test_pools_retries_ticks_and_retention_are_those_of_one_machine() -> None:
    here = yaml.safe_load((PROJECT_ROOT / "dagster.yaml").read_text())
    there = dagster_yaml(values_of(None))
    assert there["concurrency"]["pools"] == here["concurrency"]["pools"]
    for part in ("run_retries", "sensors", "schedules", "telemetry"):
        assert there[part] == here[part], part
    assert there["run_monitoring"].items() >= {"enabled": True, "free_slots_after_run_end_seconds": 60}.items()
    for kind in ("schedule", "sensor"):
        days = dict(there["retention"][kind]["purge_after_days"])
        assert days.pop("started") == days["success"]
        assert days == here["retention"][kind]["purge_after_days"]


def test_the_password_of_the_storage_is_no_value() -> None:
    values = values_of("lhdi")
    assert "postgresqlPassword" not in values["postgresql"]
    assert values["generatePostgresqlPasswordSecret"] is False
    assert dagster_yaml(values)["storage"]["postgres"]["postgres_db"]["password"] == {"env": "DAGSTER_PG_PASSWORD"}


@pytest.mark.parametrize("part", ["dagsterWebserver", "dagsterDaemon", "code-server"])
def test_pods_of_the_chart_keep_the_restricted_standard(part: str) -> None:
    values = values_of(None)
    given = values.get(part) or values["dagster-user-deployments"]["deployments"][0]
    pod = {"securityContext": given["podSecurityContext"], "volumes": given["volumes"]}
    container = {"securityContext": given["securityContext"], "resources": given["resources"]}
    assert faults_of_pod(pod, [container]) == []


@pytest.mark.parametrize("part", ["dagsterWebserver", "dagsterDaemon"])
def test_busybox_which_the_chart_starts_first_is_no_root_and_has_limits(part: str) -> None:
    # The chart gives it the container's security context and these resources, and its image says root.
    given = values_of(None)[part]
    pod = {"securityContext": given["podSecurityContext"]}
    first = {"securityContext": given["securityContext"], "resources": given["initContainerResources"]}
    assert faults_of_pod(pod, [first]) == []
    assert given["podSecurityContext"]["runAsUser"] > 0


def test_the_account_of_the_code_server_gets_no_rights_from_the_chart() -> None:
    assert values_of(None)["dagster-user-deployments"]["rbacEnabled"] is False


@pytest.mark.parametrize("part", ["dagsterWebserver", "dagsterDaemon", "code-server"])
def test_where_dagster_writes_there_is_a_volume(part: str) -> None:
    values = values_of(None)
    given = values.get(part) or values["dagster-user-deployments"]["deployments"][0]
    assert {one["mountPath"] for one in given["volumeMounts"]} == {"/tmp", values["global"]["dagsterHome"]}
    assert {one["name"] for one in given["volumeMounts"]} == {one["name"] for one in given["volumes"]}


def test_probes_of_the_webserver_ask_its_port() -> None:
    web = values_of(None)["dagsterWebserver"]
    asked = {web[probe]["httpGet"]["port"] for probe in ("readinessProbe", "livenessProbe", "startupProbe")}
    assert asked == {web["service"]["port"]}


def test_only_the_code_server_and_runs_get_the_loaders_secret_and_none_the_owners() -> None:
    values = values_of("lhdi")
    server = values["dagster-user-deployments"]["deployments"][0]
    launcher = values["runLauncher"]["config"]["k8sRunLauncher"]
    assert server["envSecrets"] == launcher["envSecrets"] == [{"name": "claims-pipeline-loader"}]
    assert not values["dagsterWebserver"].get("envSecrets")
    assert not values["dagsterDaemon"].get("envSecrets")


def test_kubernetes_knows_what_the_launcher_adds_to_a_run() -> None:
    run = values_of(None)["runLauncher"]["config"]["k8sRunLauncher"]["runK8sConfig"]
    for given, known in ((run["podSpecConfig"], client.V1PodSpec), (run["jobSpecConfig"], client.V1JobSpec)):
        assert given.keys() <= set(known.attribute_map.values())


def _job(schema: Any) -> dg.JobDefinition:
    @dg.op(config_schema=schema)
    def takes() -> None:
        pass

    @dg.job
    def checks() -> None:
        takes()

    return checks
