"""The manifests of deploy/kubernetes, as kustomize renders them, and the scripts beside them."""

from __future__ import annotations

import datetime as dt
import re
import runpy
from typing import Any
from zoneinfo import ZoneInfo

import boto3
import pytest
import yaml
from moto.server import ThreadedMotoServer

from claims_pipeline.feeds import all_feeds
from claims_pipeline.orchestration.audit import audit_schedule
from claims_pipeline.orchestration.prune import prune_schedule
from claims_pipeline.orchestration.rebuild_drill import rebuild_drill_schedule
from claims_pipeline.orchestration.upkeep import backup_schedules
from claims_pipeline.settings import Settings
from claims_pipeline_tests.deploy.chart import KUBERNETES, NAMESPACE, PLACES, values_of
from claims_pipeline_tests.deploy.manifests import OVERLAYS, faults_of_pod, of_kind, pods, rendered, secrets_named

EXAMPLE = {
    one["metadata"]["name"]: set(one["stringData"])
    for one in yaml.safe_load_all((KUBERNETES / "secrets.example.yaml").read_text())
}
UPKEEP = ("backup", "prune", "audit", "restore-drill", "rebuild-drill")
LEAN = [overlay for overlay in OVERLAYS if overlay.endswith("-lean")]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_keeps_the_restricted_standard(overlay: str) -> None:
    found = {name: faults_of_pod(pod["spec"], pod["spec"]["containers"]) for name, pod in pods(overlay)}
    assert len(found) >= 2
    assert not {name: faults for name, faults in found.items() if faults}


def test_a_pod_below_the_standard_is_found() -> None:
    pod = {"volumes": [{"name": "node", "hostPath": {"path": "/"}}, {"name": "tmp", "emptyDir": {}}]}
    assert len(faults_of_pod(pod, [{}])) == 9


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_namespace_enforces_the_restricted_standard(overlay: str) -> None:
    (namespace,) = of_kind(overlay, "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_everything_stands_in_the_namespace(overlay: str) -> None:
    assert {one["metadata"].get("namespace") for one in rendered(overlay) if one["kind"] != "Namespace"} == {NAMESPACE}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pods_name_only_secrets_and_accounts_that_there_are(overlay: str) -> None:
    accounts = {one["metadata"]["name"] for one in of_kind(overlay, "ServiceAccount")}
    for _, pod in pods(overlay):
        spec = pod["spec"]
        assert spec.get("serviceAccountName", "claims-pipeline-loader") in accounts
        assert secrets_named(spec["containers"][0]) <= EXAMPLE.keys()
        assert spec["automountServiceAccountToken"] is False


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_only_settings_that_there_are_are_set(overlay: str) -> None:
    (config,) = (one for one in of_kind(overlay, "ConfigMap") if one["metadata"]["name"] == "claims-pipeline-config")
    names = {*config["data"], *(key for keys in EXAMPLE.values() for key in keys)}
    ours = {name.removeprefix("CLAIMS_").lower() for name in names if name.startswith("CLAIMS_")}
    assert ours - Settings.model_fields.keys() == set()


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_secret_stands_in_a_manifest(overlay: str) -> None:
    assert not of_kind(overlay, "Secret")
    text = yaml.safe_dump_all(rendered(overlay))
    assert not re.search(r"postgresql://\w+:|AKIA[0-9A-Z]{12}|xox[bp]-|v1:[A-Za-z0-9+/]{43}=", text)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_dashboard_knows_one_secret_and_may_ask_postgres_alone(overlay: str) -> None:
    (pod,) = (pod for name, pod in pods(overlay) if name == "claims-pipeline-dashboard")
    assert secrets_named(pod["spec"]["containers"][0]) == {"claims-pipeline-dashboard"}
    assert EXAMPLE["claims-pipeline-dashboard"] == {"CLAIMS_BI_DATABASE_URL"}
    ports = {
        rule_port["port"]
        for policy in of_kind(overlay, "NetworkPolicy")
        if "Egress" in policy["spec"]["policyTypes"] and _selects(policy["spec"]["podSelector"], pod)
        for rule in policy["spec"].get("egress", [])
        for rule_port in rule["ports"]
    }
    assert ports == {53, 5432}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_charts_migration_of_its_storage_may_ask_postgres(overlay: str) -> None:
    # Its pod has no label of ours: the chart gives it none, and Kubernetes that of its Job.
    job = {"batch.kubernetes.io/job-name": "dagster-dagster-webserver-instance-migrate"}
    (policy,) = (
        p["spec"] for p in of_kind(overlay, "NetworkPolicy") if p["spec"]["podSelector"] == {"matchLabels": job}
    )
    assert policy["egress"] == [{"ports": [{"protocol": "TCP", "port": 5432}]}]


@pytest.mark.parametrize("overlay", LEAN)
def test_the_lean_mode_links_to_no_page_of_dagster(overlay: str) -> None:
    (config,) = (one for one in of_kind(overlay, "ConfigMap") if one["metadata"]["name"] == "claims-pipeline-config")
    assert "CLAIMS_DAGSTER_URL" not in config["data"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_nothing_may_be_reached_by_default(overlay: str) -> None:
    (default,) = (
        policy["spec"]
        for policy in of_kind(overlay, "NetworkPolicy")
        if policy["spec"]["podSelector"] == {} and policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    )
    assert "ingress" not in default
    assert "egress" not in default


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_has_a_part_that_policies_know(overlay: str) -> None:
    known = {value for policy in of_kind(overlay, "NetworkPolicy") for value in _values(policy["spec"]["podSelector"])}
    assert {pod["metadata"]["labels"]["claims-pipeline/part"] for _, pod in pods(overlay)} <= known


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_place_names_one_image_of_ours(overlay: str) -> None:
    images = {pod["spec"]["containers"][0]["image"] for _, pod in pods(overlay)}
    assert len([image for image in images if "claims-pipeline" in image]) == 1


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_migration_runs_as_owner_and_what_follows_it_waits(overlay: str) -> None:
    (migrate,) = (pod for name, pod in pods(overlay) if name == "claims-pipeline-migrate")
    assert migrate["spec"]["serviceAccountName"] == "claims-pipeline-owner"
    later = {
        one["metadata"]["name"]
        for one in rendered(overlay)
        if one["metadata"].get("labels", {}).get("claims-pipeline/rollout") == "after-migration"
    }
    ours = {name for name, pod in pods(overlay) if "claims-pipeline:" in pod["spec"]["containers"][0]["image"]}
    assert later == ours - {"claims-pipeline-migrate"}


@pytest.mark.parametrize("overlay", LEAN)
def test_the_lean_mode_never_runs_two_of_a_kind_and_gives_up_what_hangs(overlay: str) -> None:
    jobs = _cronjobs(overlay)
    assert jobs.keys() == {"catch-up", *UPKEEP}
    assert {spec["concurrencyPolicy"] for spec in jobs.values()} == {"Forbid"}
    assert all(spec["jobTemplate"]["spec"]["activeDeadlineSeconds"] for spec in jobs.values())


@pytest.mark.parametrize("overlay", LEAN)
def test_the_lean_mode_loads_as_the_loader_and_keeps_up_as_the_owner(overlay: str) -> None:
    found = {name: pod["spec"] for name, pod in pods(overlay)}
    loads = found.pop("claims-pipeline-catch-up")
    assert loads["serviceAccountName"] == "claims-pipeline-loader"
    assert "claims-pipeline-owner" not in secrets_named(loads["containers"][0])
    for task in UPKEEP:
        spec = found[f"claims-pipeline-{task}"]
        assert spec["serviceAccountName"] == "claims-pipeline-owner"
        assert "claims-pipeline-owner" in secrets_named(spec["containers"][0])


@pytest.mark.parametrize("overlay", LEAN)
def test_upkeep_of_the_lean_mode_keeps_the_hours_of_dagster(overlay: str) -> None:
    of_dagster = {
        schedule.name.replace("_", "-"): schedule.cron_schedule
        for schedule in (*backup_schedules(), prune_schedule(), audit_schedule(), rebuild_drill_schedule())
    }
    jobs = {name: spec for name, spec in _cronjobs(overlay).items() if name != "catch-up"}
    assert {name: spec["schedule"] for name, spec in jobs.items()} == of_dagster
    assert {spec["timeZone"] for spec in jobs.values()} == {"Etc/UTC"}


@pytest.mark.parametrize("overlay", LEAN)
def test_catch_up_starts_within_an_hour_and_a_half_after_a_dump_is_missing(overlay: str) -> None:
    spec = _cronjobs(overlay)["catch-up"]
    minute, hours, *every_day = spec["schedule"].split()
    assert (spec["timeZone"], every_day) == ("Etc/UTC", ["*", "*", "*"])
    starts = [dt.timedelta(hours=int(hour), minutes=int(minute)) for hour in hours.split(",")]
    for day in (dt.date(2026, 1, 1) + dt.timedelta(days) for days in range(366)):
        for feed in all_feeds():
            missing = feed.deliveries.deadline(day, ZoneInfo(feed.sender.timezone))
            midnight = dt.datetime.combine(missing.date(), dt.time(), dt.UTC)
            waits = [
                midnight + dt.timedelta(days) + start - missing
                for days in (0, 1)
                for start in starts
                if midnight + dt.timedelta(days) + start >= missing
            ]
            assert min(waits) <= dt.timedelta(minutes=90), (feed.name, day)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_commands_by_hand_have_a_pod_for_each_account_that_never_starts_by_itself(overlay: str) -> None:
    by_hand = {
        one["metadata"]["name"]: one["spec"]["jobTemplate"]["spec"]
        for one in of_kind(overlay, "CronJob")
        if one["spec"].get("suspend")
    }
    given = {
        name: (job["template"]["spec"]["serviceAccountName"], secrets_named(job["template"]["spec"]["containers"][0]))
        for name, job in by_hand.items()
    }
    assert given == {
        "claims-pipeline-by-hand": ("claims-pipeline-loader", {"claims-pipeline-loader"}),
        "claims-pipeline-by-hand-owner": (
            "claims-pipeline-owner",
            {"claims-pipeline-loader", "claims-pipeline-owner"},
        ),
    }
    assert all(job["activeDeadlineSeconds"] and "podFailurePolicy" not in job for job in by_hand.values())


@pytest.mark.parametrize("overlay", LEAN)
def test_the_commands_of_the_lean_mode_are_commands(overlay: str) -> None:
    from typer.testing import CliRunner

    from claims_pipeline.cli import app

    for spec in _cronjobs(overlay).values():
        command = spec["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["command"]
        for words in (command[-1] if command[0] == "/bin/sh" else " ".join(command)).split("&&"):
            program, *arguments = words.split()
            assert program == "claims-pipeline"
            told = CliRunner().invoke(app, [*arguments, "--help"])
            assert told.exit_code == 0, words
            assert all(option in told.output for option in arguments if option.startswith("--")), words


def test_accounts_of_lhdi_have_roles() -> None:
    for one in of_kind("lhdi", "ServiceAccount"):
        role = one["metadata"].get("annotations", {}).get("eks.amazonaws.com/role-arn", "")
        assert bool(role) == (one["metadata"]["name"] != "claims-pipeline-dashboard")


def test_secrets_that_values_name_are_listed() -> None:
    for place in PLACES:
        text = yaml.safe_dump(values_of(place))
        assert set(re.findall(r"name: (claims-pipeline-\S+)", text)) - {NAMESPACE, "claims-pipeline-config"} <= {
            *EXAMPLE,
            "claims-pipeline-dagster",
            "claims-pipeline-loader",
        }


def test_what_stands_for_aws_in_minikube_delivers_events(monkeypatch: pytest.MonkeyPatch) -> None:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    variables = {
        "CLAIMS_S3_ENDPOINT_URL": f"http://{host}:{port}",
        "CLAIMS_INBOX_BUCKET": "inbox",
        "CLAIMS_ARCHIVE_BUCKET": "archive",
        "CLAIMS_S3_ACCESS_KEY_ID": "testing",
        "CLAIMS_S3_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": "us-east-1",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    try:
        script = runpy.run_path(str(KUBERNETES / "places" / "minikube" / "emulated_aws.py"))
        script["main"]()
        script["main"]()
        login: dict[str, Any] = {
            "endpoint_url": variables["CLAIMS_S3_ENDPOINT_URL"],
            "region_name": "us-east-1",
            "aws_access_key_id": "testing",
            "aws_secret_access_key": "testing",
        }
        sqs = boto3.client("sqs", **login)
        url = sqs.get_queue_url(QueueName=script["QUEUE"])["QueueUrl"]
        sqs.purge_queue(QueueUrl=url)
        boto3.client("s3", **login).put_object(Bucket="inbox", Key="a.csv", Body=b"x")
        (message,) = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=5)["Messages"]
        assert '"key": "a.csv"' in message["Body"]
    finally:
        server.stop()


def _cronjobs(overlay: str) -> dict[str, dict[str, Any]]:
    """Those that start by themselves."""
    return {
        one["metadata"]["name"].removeprefix("claims-pipeline-"): one["spec"]
        for one in of_kind(overlay, "CronJob")
        if not one["spec"].get("suspend")
    }


def _values(selector: dict[str, Any]) -> set[str]:
    listed = {value for one in selector.get("matchExpressions", []) for value in one.get("values", [])}
    return listed | set(selector.get("matchLabels", {}).values())


def _selects(selector: dict[str, Any], pod: dict[str, Any]) -> bool:
    part = pod["metadata"]["labels"]["claims-pipeline/part"]
    known = _values(selector)
    return not known or part in known
