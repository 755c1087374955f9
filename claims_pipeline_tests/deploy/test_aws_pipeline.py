"""The pipeline with the rights of deploy/aws/access.yaml and no others: catch-up, prune, erase, backup, drill.

Everything goes through a gate that asks the templates' policies, and knows each pod by the role that EKS would give it.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError
from pydantic import SecretStr

from claims_pipeline import auditing, upkeep
from claims_pipeline.backup import Backups
from claims_pipeline.backup import Retention as BackupRetention
from claims_pipeline.catching_up import catch_up
from claims_pipeline.feeds import all_feeds
from claims_pipeline.feeds.contract import Retention
from claims_pipeline.feeds.va_form526 import SENDER
from claims_pipeline.flow import Flow
from claims_pipeline.frames import make_key_ring
from claims_pipeline.landing import s3_deletion
from claims_pipeline.landing.s3 import encrypt_writes
from claims_pipeline.local import LocalServices, postgres_program
from claims_pipeline.rebuild import drill as rebuild_drill
from claims_pipeline.secrets_store import read_secret
from claims_pipeline.services import Services
from claims_pipeline.settings import Settings
from claims_pipeline.vocabulary import Role
from claims_pipeline.warehouse.connection import connect
from claims_pipeline.warehouse.ledger import Dump
from claims_pipeline.warehouse.migrate import migrate
from claims_pipeline_tests.deploy.account import STRANGER, Account, account
from claims_pipeline_tests.fix_pipeline import UPLOADS, written
from claims_pipeline_tests.fix_services import as_role
from claims_pipeline_tests.fix_warehouse import new_database

pytestmark = pytest.mark.filterwarnings("ignore:Tried to parse:UserWarning")  # account.py does these parts

EXTERNAL_ID = "agreed-with-the-sender"
LOADER, OWNER, DAGSTER = "claims-pipeline-loader", "claims-pipeline-owner", "claims-pipeline-dagster"
RIGHTS = {LOADER: "LoaderRoleArn", OWNER: "OwnerRoleArn", DAGSTER: "DagsterRoleArn"}


@pytest.fixture(scope="module")
def aws() -> Iterator[Account]:
    with account() as made:
        made.deploy(
            "sender", Sender=SENDER.name, Prefix=SENDER.prefix, SenderPrincipal=STRANGER, ExternalId=EXTERNAL_ID
        )
        for name in ("token_keys", "quarantine_keys"):
            made.admin("secretsmanager").create_secret(
                Name=f"{made.name}/{name}", SecretString=make_key_ring(), KmsKeyId=made.outputs["SecretsKeyArn"]
            )
        yield made


@dataclass
class Cluster:
    """The account, a warehouse, and what a dump of a day looks like."""

    aws: Account
    url: str
    folder: Path
    days: int = 0

    def settings(self) -> dict[str, str]:
        """What a pod's environment says of the pipeline."""
        ring = f"aws-secretsmanager:{self.aws.name}"
        return {
            "CLAIMS_STATE_DIR": str(self.folder / "state"),
            "CLAIMS_DATABASE_URL": as_role(self.url, Role.LOADER),
            "CLAIMS_S3_ENDPOINT_URL": "aws",
            "CLAIMS_S3_REGION": self.aws.region,
            "CLAIMS_INBOX_BUCKET": self.aws.outputs["InboxBucket"],
            "CLAIMS_ARCHIVE_BUCKET": self.aws.outputs["ArchiveBucket"],
            "CLAIMS_EVENTS_QUEUE_URL": f"{self.aws.gate.url}{urlsplit(self.aws.outputs['EventsQueueUrl']).path}",
            "CLAIMS_TOKEN_KEYS": f"{ring}/token_keys",
            "CLAIMS_QUARANTINE_KEYS": f"{ring}/quarantine_keys",
            "CLAIMS_SETTLE_SECONDS": "0",
        }

    def services(self, who: str) -> Services:
        """The parts as a pod with this service account has them, in this process."""
        client = self.aws.client("s3", self.aws.pod(RIGHTS[who], who))
        ring = SecretStr(make_key_ring())
        settings = Settings(
            state_dir=self.folder,
            database_url=SecretStr(as_role(self.url, Role.LOADER)),
            owner_database_url=SecretStr(self.url),
            s3_endpoint_url="aws",
            inbox_bucket=self.aws.outputs["InboxBucket"],
            archive_bucket=self.aws.outputs["ArchiveBucket"],
            backup_bucket=self.aws.outputs["BackupBucket"],
            pg_bin=postgres_program("pg_dump").parent,
            token_keys=ring,
            quarantine_keys=ring,
            settle_seconds=0,
        )
        return Services(settings, lambda: client)

    def deliver(self) -> str:
        """A dump of the next day, from the sender's own hands; its key."""
        self.days += 1
        _, delivery = written(UPLOADS, days=self.days)
        key = max(delivery)
        sender = self.aws.client("s3", self.aws.sender(EXTERNAL_ID))
        sender.put_object(Bucket=self.aws.outputs["InboxBucket"], Key=key, Body=delivery[key])
        return key

    def loaded(self) -> Dump:
        """A dump that is loaded, by the loader's rights."""
        key = self.deliver()
        done = catch_up(Flow(self.services(LOADER), run_id="first"), SENDER)
        (dump,) = [dump for dump in done if dump.key == key]
        assert dump.status == "loaded"
        return dump

    def rows(self) -> int:
        """Rows in the table."""
        with connect(self.url) as connection:
            return int(connection.execute(f"select count(*) from {SENDER.name}.{UPLOADS}".encode()).fetchone()[0])  # type: ignore[index]  # count has a row

    def keys(self, prefix: str = "", bucket: str = "ArchiveBucket") -> list[str]:
        listed = self.aws.admin("s3").list_objects_v2(Bucket=self.aws.outputs[bucket], Prefix=prefix)
        return [item["Key"] for item in listed.get("Contents", ())]


@pytest.fixture(scope="module")
def one_cluster(aws: Account, services: LocalServices, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with new_database(services) as url:
        with connect(url) as connection:
            migrate(connection, all_feeds())
        yield Cluster(aws, url, tmp_path_factory.mktemp("cluster"))


@pytest.fixture
def cluster(one_cluster: Cluster) -> Cluster:
    """The cluster, in which nothing was refused so far. Each test brings dumps of its own days."""
    one_cluster.aws.gate.refused.clear()
    return one_cluster


def refuses(call: Callable[..., object], **arguments: object) -> bool:
    try:
        call(**arguments)
    except ClientError as error:
        return error.response["Error"]["Code"] in {"AccessDenied", "AccessDeniedException"}
    return False


# ---------------------------------------------------------------------------------------------- who is who


@pytest.mark.parametrize(
    ("role", "who", "namespace"),
    [
        ("LoaderRoleArn", "default", "claims-pipeline"),
        ("LoaderRoleArn", LOADER, "default"),
        ("OwnerRoleArn", LOADER, "claims-pipeline"),
        ("LoaderRoleArn", DAGSTER, "claims-pipeline"),
    ],
)
def test_a_role_is_for_one_service_account(aws: Account, role: str, who: str, namespace: str) -> None:
    assert refuses(aws.pod, role=role, account=who, namespace=namespace)


# ---------------------------------------------------------------------------------------------- the loader


def test_a_catch_up_does_all_of_its_work_with_the_loaders_rights(cluster: Cluster) -> None:
    cluster.deliver()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CLAIMS_"))}
    done = subprocess.run(
        [sys.executable, "-m", "claims_pipeline.cli", "catch-up", "--sender", SENDER.name, "--json"],
        env=environment | cluster.settings() | cluster.aws.environment("LoaderRoleArn", LOADER, cluster.folder),
        capture_output=True,
        text=True,
        cwd=cluster.folder,
        check=False,
    )
    assert (cluster.rows() > 0, cluster.aws.gate.refused, done.returncode) == (True, [], 0), done.stdout + done.stderr
    assert {"sqs:ReceiveMessage", "sqs:DeleteMessage"} <= {ask.action for ask in cluster.aws.gate.asked}


def test_the_loader_deletes_nothing_of_the_archive(cluster: Cluster) -> None:
    dump = cluster.loaded()
    s3, archive = cluster.services(LOADER).s3, cluster.aws.outputs["ArchiveBucket"]
    keys = [dump.archive_key, f"{dump.validated_key}/rows.parquet"]
    assert [refuses(s3.delete_object, Bucket=archive, Key=key) for key in keys] == [True, True]


def test_the_loader_writes_nothing_into_the_inbox(cluster: Cluster) -> None:
    s3, inbox = cluster.services(LOADER).s3, cluster.aws.outputs["InboxBucket"]
    key = cluster.deliver()
    refused = [
        refuses(s3.put_object, Bucket=inbox, Key=key, Body=b""),
        refuses(s3.delete_object, Bucket=inbox, Key=key),
    ]
    assert refused == [True, True]


@pytest.mark.parametrize("key", ["erasures/va_form526/x.json", "audit/heads-x.json", "elsewhere"])
def test_the_loader_writes_no_evidence(cluster: Cluster, key: str) -> None:
    archive = cluster.aws.outputs["ArchiveBucket"]
    assert refuses(cluster.services(LOADER).s3.put_object, Bucket=archive, Key=key, Body=b"")


def test_the_loader_cannot_see_backups(cluster: Cluster) -> None:
    assert refuses(cluster.services(LOADER).s3.list_objects_v2, Bucket=cluster.aws.outputs["BackupBucket"])


def test_only_the_pipelines_own_secrets_can_be_read(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in cluster.aws.environment("LoaderRoleArn", LOADER, tmp_path).items():
        monkeypatch.setenv(name, value)
    cluster.aws.admin("secretsmanager").create_secret(
        Name=f"{cluster.aws.name}/database", SecretString="x", KmsKeyId=cluster.aws.outputs["SecretsKeyArn"]
    )
    ring = read_secret(
        f"aws-secretsmanager:{cluster.aws.name}/token_keys", setting="CLAIMS_TOKEN_KEYS", region=cluster.aws.region
    )
    secrets: Any = cluster.aws.client("secretsmanager", cluster.aws.pod("LoaderRoleArn", LOADER))
    assert ring.startswith("v1:")
    assert refuses(secrets.get_secret_value, SecretId=f"{cluster.aws.name}/database")


def test_webserver_and_daemon_read_the_output_of_steps_alone(cluster: Cluster) -> None:
    archive, admin = cluster.aws.outputs["ArchiveBucket"], cluster.aws.admin("s3")
    for key in ("compute-logs/storage/run/a.out", "raw/va_form526/a.csv"):
        admin.put_object(Bucket=archive, Key=key, Body=b"x")
    s3 = cluster.services(DAGSTER).s3
    s3.get_object(Bucket=archive, Key="compute-logs/storage/run/a.out")
    assert refuses(s3.get_object, Bucket=archive, Key="raw/va_form526/a.csv")


@pytest.mark.parametrize(
    ("encryption", "names_key", "refused"), [("", False, False), ("aws:kms", True, False), ("aws:kms", False, True)]
)
def test_the_archive_takes_its_own_key_named_or_not_and_no_other(
    cluster: Cluster, encryption: Literal["", "aws:kms"], names_key: bool, refused: bool
) -> None:
    s3 = cluster.aws.client("s3", cluster.aws.pod("LoaderRoleArn", LOADER))
    encrypt_writes(s3, encryption, cluster.aws.outputs["ArchiveKeyArn"] if names_key else None)
    archive = cluster.aws.outputs["ArchiveBucket"]
    assert refuses(s3.put_object, Bucket=archive, Key="raw/encrypted", Body=b"") is refused


# ---------------------------------------------------------------------------------------------- the owner


def test_the_output_of_runs_of_upkeep_is_kept_with_the_owners_rights(cluster: Cluster) -> None:
    archive, key = cluster.aws.outputs["ArchiveBucket"], "compute-logs/storage/run/compute_logs/backup.err"
    cluster.services(OWNER).s3.put_object(Bucket=archive, Key=key, Body=b"x")
    assert cluster.aws.gate.refused == []


def test_an_audit_does_all_of_its_work_with_the_owners_rights(cluster: Cluster) -> None:
    cluster.loaded()
    services = cluster.services(OWNER)
    for _ in range(2):  # the second compares with the heads that the first has kept
        done = auditing.verify(services)
        auditing.keep(services, done.found.heads)
    assert (done.found.unbroken, done.compared_with != "", cluster.aws.gate.refused) == (True, True, [])
    auditing.age(cluster.services(LOADER))  # what catch-up and Dagster's code server send
    assert cluster.aws.gate.refused == []


def test_a_rebuild_drill_does_all_of_its_work_with_the_owners_rights(cluster: Cluster) -> None:
    cluster.loaded()
    done = rebuild_drill(cluster.services(OWNER), run_id="drill")
    assert done is not None
    assert (done.comparison.differences, cluster.keys("rebuild/"), cluster.aws.gate.refused) == ((), [], [])


def test_a_prune_does_all_of_its_work_with_the_owners_rights(cluster: Cluster) -> None:
    dump = cluster.loaded()
    archive, admin = cluster.aws.outputs["ArchiveBucket"], cluster.aws.admin("s3")
    admin.create_multipart_upload(Bucket=archive, Key="raw/half")
    short = [dataclasses.replace(one, retention=Retention(raw=1, validated=1)) for one in all_feeds()]
    services, later = cluster.services(OWNER), dt.datetime.now(dt.UTC) + dt.timedelta(days=40)
    chores = upkeep.chores_of(services, now=later, feeds=short)
    done = upkeep.prune(services, chores, apply=True, run_id="prune", requested_by="ada")
    assert {one.kind: one.error for one in done if one.error} == {}
    assert (cluster.keys("validated/"), dump.archive_key in cluster.keys("raw/"), cluster.aws.gate.refused) == (
        [],
        False,
        [],
    )
    assert "Uploads" not in admin.list_multipart_uploads(Bucket=archive)


def test_nobody_ends_a_raw_dump_for_good(cluster: Cluster) -> None:
    key = str(cluster.loaded().archive_key)
    s3, archive = cluster.services(OWNER).s3, cluster.aws.outputs["ArchiveBucket"]
    s3_deletion.delete_objects(s3, bucket=archive, keys=[key])
    (version,) = cluster.aws.admin("s3").list_object_versions(Bucket=archive, Prefix=key)["Versions"][:1]
    assert refuses(s3.delete_object, Bucket=archive, Key=key, VersionId=version["VersionId"])


def test_an_erasure_ends_every_version_of_frames(cluster: Cluster) -> None:
    cluster.loaded()
    archive = cluster.aws.outputs["ArchiveBucket"]
    s3_deletion.delete_for_good(cluster.services(OWNER).s3, bucket=archive, prefix="validated/va_form526/")
    found = cluster.aws.admin("s3").list_object_versions(Bucket=archive, Prefix="validated/")
    assert ("Versions" in found, "DeleteMarkers" in found, cluster.aws.gate.refused) == (False, False, [])


def test_a_backup_is_made_tried_and_retired_with_the_owners_rights(cluster: Cluster) -> None:
    cluster.loaded()
    backups = Backups(cluster.services(OWNER), run_id="backup")
    backups.take()
    drilled = backups.drill()
    backups.prune(BackupRetention(kept=(), old=backups.retention().kept, leftovers=()))
    assert (drilled.differences, cluster.keys(bucket="BackupBucket"), cluster.aws.gate.refused) == ((), [], [])
