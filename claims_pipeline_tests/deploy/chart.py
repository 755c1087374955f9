"""What the Dagster chart makes of our values: merged as Helm merges files, and as the `dagster.yaml` of the instance.

Belongs here: the chart's rules, so far as they matter for what we set, told again from its templates and its schema
(helm/dagster in Dagster's repository, read on 2026-11-22). Does not belong here: what is expected of the values. This
is not the chart: `make deploy-chart` asks the real one, where it can be had (chart_rendered.py).
"""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import yaml

from claims_pipeline.settings import PROJECT_ROOT

KUBERNETES = PROJECT_ROOT / "deploy" / "kubernetes"
PLACES = ("lhdi", "minikube")
NAMESPACE = "claims-pipeline"

_POD = (
    "envConfigMaps envSecrets env labels annotations podSecurityContext securityContext resources volumes volumeMounts "
    "readinessProbe livenessProbe startupProbe image nodeSelector affinity tolerations schedulerName"
)
_OURS = f"{_POD} checkDbReadyInitContainer deploymentLabels initContainerResources logFormat"
KEYS: dict[str, str] = {
    "": "global serviceAccount rbacEnabled telemetry generatePostgresqlPasswordSecret postgresql dagsterWebserver "
    "dagsterDaemon concurrency retention dagster-user-deployments runLauncher computeLogManager busybox",
    "busybox": "image",
    "busybox.image": "repository tag pullPolicy",
    "global": "postgresqlSecretName dagsterHome serviceAccountName",
    "serviceAccount": "create name annotations",
    "telemetry": "enabled",
    "postgresql": "enabled postgresqlHost postgresqlUsername postgresqlPassword postgresqlDatabase postgresqlParams "
    "postgresqlScheme service image",
    "dagsterWebserver": f"{_OURS} replicaCount service nameOverride pathPrefix workspace enableReadOnly dbPoolRecycle "
    "dbStatementTimeout dbPoolMaxOverflow logLevel",
    "dagsterDaemon": f"{_OURS} enabled runCoordinator heartbeatTolerance runMonitoring runRetries sensors schedules "
    "backfills",
    "dagsterDaemon.runCoordinator": "enabled type config",
    "dagsterDaemon.runCoordinator.config": "queuedRunCoordinator",
    "dagsterDaemon.runCoordinator.config.queuedRunCoordinator": "maxConcurrentRuns tagConcurrencyLimits "
    "dequeueIntervalSeconds dequeueNumWorkers dequeueUseThreads blockOpConcurrencyLimitedRuns",
    "dagsterDaemon.runMonitoring": "enabled startTimeoutSeconds cancelTimeoutSeconds maxResumeRunAttempts "
    "pollIntervalSeconds freeSlotsAfterRunEndSeconds",
    "dagsterDaemon.runRetries": "enabled maxRetries retryOnAssetOrOpFailure",
    "dagsterDaemon.sensors": "useThreads numWorkers numSubmitWorkers",
    "dagsterDaemon.schedules": "useThreads numWorkers numSubmitWorkers",
    "concurrency": "enabled pools runs",
    "concurrency.pools": "defaultLimit granularity opGranularityRunBuffer",
    "concurrency.runs": "maxConcurrentRuns tagConcurrencyLimits",
    "retention": "enabled schedule sensor autoMaterialize",
    "retention.schedule": "purgeAfterDays",
    "retention.sensor": "purgeAfterDays",
    "retention.schedule.purgeAfterDays": "skipped success failure started",
    "retention.sensor.purgeAfterDays": "skipped success failure started",
    "dagster-user-deployments": "enabled enableSubchart rbacEnabled imagePullSecrets serviceAccount deployments",
    "dagster-user-deployments.serviceAccount": "create name annotations",
    "dagster-user-deployments.deployments.*": f"{_POD} name port dagsterApiGrpcArgs codeServerArgs "
    "includeConfigInLaunchedRuns",
    "runLauncher": "type config",
    "runLauncher.config": "k8sRunLauncher",
    "runLauncher.config.k8sRunLauncher": "image imagePullPolicy jobNamespace loadInclusterConfig kubeconfigFile "
    "envConfigMaps envSecrets envVars volumeMounts volumes labels failPodOnRunFailure resources schedulerName "
    "securityContext runK8sConfig",
    "runLauncher.config.k8sRunLauncher.runK8sConfig": "containerConfig podSpecConfig podTemplateSpecMetadata "
    "jobSpecConfig jobMetadata",
    "computeLogManager": "type config",
    "computeLogManager.config": "s3ComputeLogManager",
    "computeLogManager.config.s3ComputeLogManager": "bucket localDir prefix useSsl verify verifyCertPath endpointUrl "
    "skipEmptyFiles uploadInterval uploadExtraArgs showUrlOnly region",
}
"""Keys that the chart's schema knows, by where they stand; below what is not listed, Kubernetes' own types begin."""


def values_of(place: str | None) -> dict[str, Any]:
    """The values of a place as Helm merges them: maps deeply, lists by replacement. None: what all share."""
    merged = _read(KUBERNETES / "values.yaml")
    return _merge(merged, _read(KUBERNETES / f"values-{place}.yaml")) if place else merged


def unknown_keys(values: dict[str, Any], at: str = "") -> list[str]:
    """Places of keys that the chart would refuse, or ignore."""
    known = KEYS[at].split()
    found = [f"{at}.{key}".lstrip(".") for key in values if key not in known]
    for key, value in values.items():
        below = f"{at}.{key}".lstrip(".")
        if isinstance(value, dict) and below in KEYS:
            found += unknown_keys(value, below)
        elif isinstance(value, list) and f"{below}.*" in KEYS:
            found += [one for item in value for one in unknown_keys(item, f"{below}.*")]
    return found


def dagster_yaml(values: dict[str, Any]) -> dict[str, Any]:
    """The instance as the chart's ConfigMap writes it, by the names that Dagster knows."""
    postgres = {
        "postgres_db": {
            "username": values["postgresql"]["postgresqlUsername"],
            "password": {"env": "DAGSTER_PG_PASSWORD"},
            "hostname": values["postgresql"].get("postgresqlHost", ""),
            "db_name": values["postgresql"]["postgresqlDatabase"],
            "port": values["postgresql"]["service"]["port"],
            "params": values["postgresql"].get("postgresqlParams", {}),
        }
    }
    daemon = values["dagsterDaemon"]
    return {
        "storage": {"postgres": postgres},
        "run_launcher": {"module": "dagster_k8s", "class": "K8sRunLauncher", "config": _launcher(values)},
        "run_coordinator": {
            "module": "dagster.core.run_coordinator",
            "class": "QueuedRunCoordinator",
            "config": _snake(daemon["runCoordinator"]["config"]["queuedRunCoordinator"]),
        },
        "compute_logs": {
            "module": "dagster_aws.s3.compute_log_manager",
            "class": "S3ComputeLogManager",
            "config": _snake(values["computeLogManager"]["config"]["s3ComputeLogManager"], deep=False),
        },
        "run_monitoring": _snake(daemon["runMonitoring"]),
        "run_retries": _snake(daemon["runRetries"]),
        "sensors": _snake(daemon["sensors"]),
        "schedules": _snake(daemon["schedules"]),
        "concurrency": {part: _snake(values["concurrency"][part]) for part in ("pools", "runs")},
        "retention": {part: _snake(values["retention"][part]) for part in ("schedule", "sensor")},
        "telemetry": values["telemetry"],
    }


def _launcher(values: dict[str, Any]) -> dict[str, Any]:
    given = copy.deepcopy(values["runLauncher"]["config"]["k8sRunLauncher"])
    run = _snake(given.pop("runK8sConfig"), deep=False)
    named = {
        key: [one["name"] for one in given.pop(camel)]
        for key, camel in (("env_config_maps", "envConfigMaps"), ("env_secrets", "envSecrets"))
    }
    return {
        **_snake(given, deep=False),
        **named,
        "run_k8s_config": run,
        "job_namespace": NAMESPACE,
        "service_account_name": values["serviceAccount"]["name"],
        "dagster_home": values["global"]["dagsterHome"],
        "instance_config_map": "dagster-instance",
        "postgres_password_secret": values["global"]["postgresqlSecretName"],
    }


def _snake(found: Any, *, deep: bool = True) -> Any:
    if isinstance(found, dict):
        return {
            re.sub(r"(?<!^)([A-Z])", r"_\1", key).lower(): _snake(value) if deep else value
            for key, value in found.items()
        }
    return found


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text())
    return found


def _merge(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(under)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged
