"""What the real chart makes of our values: `deploy/check.sh chart` renders it and runs this. No part of the suite.

Belongs here: what `test_chart_values` expects of values, asked of the chart's own output. Reads `chart-<place>.yaml` in
the folder that CLAIMS_RENDERED_CHART names.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from claims_pipeline_tests.deploy.chart import PLACES, dagster_yaml, values_of
from claims_pipeline_tests.deploy.manifests import Manifest, faults_of_pod, of_kind, rendered

ACCOUNTS = {
    "webserver": "claims-pipeline-dagster",
    "daemon": "claims-pipeline-dagster",
    "code-server": "claims-pipeline-loader",
}


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def chart(place: str) -> list[Manifest]:
    text = (Path(os.environ["CLAIMS_RENDERED_CHART"]) / f"chart-{place}.yaml").read_text()
    return [one for one in yaml.safe_load_all(text) if one]


@pytest.fixture
def pods(chart: list[Manifest]) -> dict[str, Manifest]:
    templates = [one["spec"]["template"] for one in chart if one["kind"] == "Deployment"]
    return {one["metadata"]["labels"]["claims-pipeline/part"]: one["spec"] for one in templates}


def test_pods_keep_the_restricted_standard_with_those_that_start_first(pods: dict[str, Manifest]) -> None:
    found = {
        part: faults_of_pod(pod, [*pod["containers"], *(pod.get("initContainers") or [])]) for part, pod in pods.items()
    }
    assert found == {part: [] for part in ACCOUNTS}
    assert {pod["securityContext"]["runAsUser"] for pod in pods.values()} == {10001}


def test_pods_are_who_they_should_be(pods: dict[str, Manifest]) -> None:
    assert {part: pod["serviceAccountName"] for part, pod in pods.items()} == ACCOUNTS


def test_only_dagsters_account_may_make_jobs(chart: list[Manifest]) -> None:
    bound = [subject["name"] for one in chart if one["kind"] == "RoleBinding" for subject in one["subjects"]]
    assert bound == ["claims-pipeline-dagster"]


def test_no_account_and_no_secret_is_made_besides_ours(chart: list[Manifest]) -> None:
    assert not [one for one in chart if one["kind"] in ("ServiceAccount", "Secret", "StatefulSet")]


def test_dagster_accepts_the_instance_and_it_says_what_our_values_say(
    chart: list[Manifest], place: str, tmp_path: Path
) -> None:
    expected = dagster_yaml(values_of(place))
    database = expected.pop("storage")["postgres"]
    launcher = expected["run_launcher"]["config"]
    expected["run_launcher"]["config"] = {key: value for key, value in launcher.items() if value != []}
    got = yaml.safe_load(_data(chart, "dagster-instance")["dagster.yaml"])
    assert got["compute_logs"]["config"].pop("verify") is True
    assert {key: got[key] for key in expected} == expected
    assert all(got.pop(f"{kind}_storage")["config"] == database for kind in ("run", "schedule", "event_log"))
    del got["run_launcher"]  # it would connect; test_chart_values has it checked
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(got))
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert instance.telemetry_enabled is False


def test_webserver_and_daemon_find_the_code_server(chart: list[Manifest]) -> None:
    (server,) = (
        one["grpc_server"]
        for one in yaml.safe_load(_data(chart, "dagster-workspace-yaml")["workspace.yaml"])["load_from"]
    )
    services = {one["metadata"]["name"]: one["spec"]["ports"][0]["port"] for one in chart if one["kind"] == "Service"}
    assert services[server["host"]] == server["port"]


def test_no_name_of_the_chart_is_one_of_ours(chart: list[Manifest], place: str) -> None:
    ours = {(one["kind"], one["metadata"]["name"]) for one in rendered(place)}
    assert of_kind(place, "Deployment")
    assert not ours & {(one["kind"], one["metadata"]["name"]) for one in chart}


def _data(chart: list[Manifest], name: str) -> dict[str, Any]:
    (found,) = (one["data"] for one in chart if (one["kind"], one["metadata"]["name"]) == ("ConfigMap", name))
    return dict(found)
