"""Runs as dagster-k8s asks Kubernetes for them, with our values; see `launched` for what is real. About 20 s."""

from __future__ import annotations

import json
from typing import Any

import pytest

from claims_pipeline.orchestration.upkeep import AS_OWNER
from claims_pipeline_tests.deploy.launched import IMAGE, launched_jobs
from claims_pipeline_tests.deploy.manifests import faults_of_pod, secrets_named

Job = dict[str, Any]


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Job]:
    return launched_jobs(tmp_path_factory.mktemp("k8s"), "lhdi", {"load": {}, "upkeep": AS_OWNER})


@pytest.fixture(params=["load", "upkeep"])
def job(request: pytest.FixtureRequest, jobs: dict[str, Job]) -> Job:
    return jobs[request.param]


def _pod(job: Job) -> dict[str, Any]:
    pod: dict[str, Any] = job["spec"]["template"]["spec"]
    return pod


def test_a_run_is_one_pod_of_the_code_servers_image(job: Job) -> None:
    (container,) = _pod(job)["containers"]
    assert container["image"] == IMAGE


def test_a_run_is_executed_in_the_pod_itself(job: Job) -> None:
    (container,) = _pod(job)["containers"]
    assert container["args"][:3] == ["dagster", "api", "execute_run"]
    asked = json.loads(container["args"][3])
    assert asked["pipeline_origin"]["repository_origin"]["code_pointer"]["module"] == "claims_pipeline.definitions"
    assert asked["set_exit_code_on_failure"] is True


def test_kubernetes_does_not_retry_besides_dagster(job: Job) -> None:
    assert job["spec"]["backoffLimit"] == 0
    assert _pod(job)["restartPolicy"] == "Never"


def test_finished_runs_go_after_a_day(job: Job) -> None:
    assert job["spec"]["ttlSecondsAfterFinished"] == 86400


def test_a_run_keeps_the_restricted_standard(job: Job) -> None:
    assert faults_of_pod(_pod(job), _pod(job)["containers"]) == []


def test_a_run_has_the_memory_that_a_load_needs(job: Job) -> None:
    (container,) = _pod(job)["containers"]
    assert container["resources"]["requests"]["memory"] == "768Mi"
    assert container["resources"]["limits"]["memory"] == "1Gi"


def test_a_run_asks_nothing_of_kubernetes(job: Job) -> None:
    assert _pod(job)["automountServiceAccountToken"] is False


def test_a_run_is_not_moved_by_the_autoscaler(job: Job) -> None:
    annotations = job["spec"]["template"]["metadata"]["annotations"]
    assert annotations["cluster-autoscaler.kubernetes.io/safe-to-evict"] == "false"


def test_a_run_is_found_by_its_labels(job: Job) -> None:
    labels = job["spec"]["template"]["metadata"]["labels"]
    assert labels["claims-pipeline/part"] == "run"
    assert labels["tags.datadoghq.com/service"] == "claims-pipeline"
    assert labels["dagster/run-id"] in job["metadata"]["name"]


def test_settings_and_passwords_come_by_name(job: Job) -> None:
    (container,) = _pod(job)["containers"]
    assert {"configMapRef": {"name": "claims-pipeline-config"}} in container["envFrom"]
    (password,) = (one for one in container["env"] if one["name"] == "DAGSTER_PG_PASSWORD")
    assert password["valueFrom"]["secretKeyRef"] == {
        "name": "claims-pipeline-dagster-storage",
        "key": "postgresql-password",
    }


def test_a_load_is_the_loaders_and_has_nothing_of_the_owners(jobs: dict[str, Job]) -> None:
    pod = _pod(jobs["load"])
    assert pod["serviceAccountName"] == "claims-pipeline-loader"
    assert secrets_named(pod["containers"][0]) == {"claims-pipeline-loader"}


def test_upkeep_is_the_owners(jobs: dict[str, Job]) -> None:
    pod = _pod(jobs["upkeep"])
    assert pod["serviceAccountName"] == "claims-pipeline-owner"
    assert secrets_named(pod["containers"][0]) == {"claims-pipeline-loader", "claims-pipeline-owner"}
