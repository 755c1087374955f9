"""The templates in deploy/aws: clean under cfn-lint, and what every bucket, key and parameter in them has."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from claims_pipeline_tests.deploy.account import NUMBER, TEMPLATES, Account, account
from claims_pipeline_tests.deploy.policies import Ask

pytestmark = pytest.mark.filterwarnings("ignore:Tried to parse:UserWarning")  # account.py does these parts

NAMES = sorted(path.stem for path in TEMPLATES.glob("*.yaml"))
BUCKETS = ["Inbox", "Archive", "Backups", "AccessLog"]


@pytest.fixture(scope="module")
def aws() -> Iterator[Account]:
    with account() as made:
        yield made


def test_cfn_lint_finds_nothing() -> None:
    files = [str(path) for path in sorted(TEMPLATES.glob("*.yaml"))]
    linter = Path(sys.executable).with_name("cfn-lint")
    done = subprocess.run([linter, *files], capture_output=True, text=True, check=False)
    assert (done.stdout + done.stderr, done.returncode) == ("", 0)


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_is_in_the_readme(name: str) -> None:
    parameters = (TEMPLATES / f"{name}.yaml").read_text().partition("\nParameters:")[2].partition("\nConditions:")[0]
    found = set(re.findall(r"^  (\w+):$", parameters.partition("\nResources:")[0], re.MULTILINE))
    readme = (TEMPLATES / "README.md").read_text()
    assert {one for one in found if f"`{one}`" not in readme} == set()


@pytest.mark.parametrize("bucket", BUCKETS)
def test_nothing_is_public_and_everything_has_versions(aws: Account, bucket: str) -> None:
    said = aws.properties["storage"][bucket]
    assert set(said["PublicAccessBlockConfiguration"].values()) == {True}
    assert said["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    assert said["VersioningConfiguration"] == {"Status": "Enabled"}


@pytest.mark.parametrize("bucket", ["Inbox", "Archive", "Backups"])
def test_what_holds_records_is_under_a_key_of_ours_with_a_bucket_key(aws: Account, bucket: str) -> None:
    (rule,) = aws.properties["storage"][bucket]["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    key = aws.outputs["InboxKeyArn" if bucket == "Inbox" else "ArchiveKeyArn"]
    assert (rule["BucketKeyEnabled"], rule["ServerSideEncryptionByDefault"]["KMSMasterKeyID"]) == (True, key)


@pytest.mark.parametrize("bucket", BUCKETS)
def test_without_tls_nobody_reaches_a_bucket(aws: Account, bucket: str) -> None:
    name = aws.properties["storage"][bucket]["BucketName"]
    asks = [
        Ask("logging.s3.amazonaws.com", "s3:PutObject", f"arn:aws:s3:::{name}/x", {"aws:SecureTransport": "false"}),
        Ask(
            aws.outputs["LoaderRoleArn"], "s3:GetObject", f"arn:aws:s3:::{name}/raw/x", {"aws:SecureTransport": "false"}
        ),
    ]
    assert [aws.allows(ask) for ask in asks] == [False, False]


@pytest.mark.parametrize("bucket", BUCKETS)
def test_uploads_without_end_are_aborted_and_old_versions_end(aws: Account, bucket: str) -> None:
    rules = aws.properties["storage"][bucket]["LifecycleConfiguration"]["Rules"]
    assert any("AbortIncompleteMultipartUpload" in rule for rule in rules)
    assert any("NoncurrentVersionExpiration" in rule for rule in rules)


def test_raw_dumps_move_to_tiering_and_glacier_after_set_days(aws: Account) -> None:
    expected = [("INTELLIGENT_TIERING", 30), ("GLACIER_IR", 180)]
    assert moves_of_raw_dumps(aws) == [expected, expected]


def test_raw_dumps_stay_out_of_glacier_where_no_days_are_set() -> None:
    with account(GlacierDays="0") as aws:
        assert moves_of_raw_dumps(aws) == [[("INTELLIGENT_TIERING", 30)]] * 2


def moves_of_raw_dumps(aws: Account) -> list[list[tuple[str, int]]]:
    """Class and days of each transition, in the inbox and in the archive."""
    found = [
        rule["Transitions"]
        for bucket in ("Inbox", "Archive")
        for rule in aws.properties["storage"][bucket]["LifecycleConfiguration"]["Rules"]
        if rule.get("Prefix", "raw/") == "raw/" and "Transitions" in rule
    ]
    return [[(one["StorageClass"], int(one["TransitionInDays"])) for one in rule if one] for rule in found]


def test_no_lifecycle_rule_ends_a_dump_that_is_not_deleted_or_overwritten(aws: Account) -> None:
    rules = [
        rule
        for bucket in ("Inbox", "Archive", "Backups")
        for rule in aws.properties["storage"][bucket]["LifecycleConfiguration"]["Rules"]
    ]
    assert [rule["Prefix"] for rule in rules if "ExpirationInDays" in rule] == ["compute-logs/"]


def test_s3_alone_writes_the_access_log_and_only_of_our_buckets(aws: Account) -> None:
    log = f"arn:aws:s3:::{aws.properties['storage']['AccessLog']['BucketName']}/inbox/x"

    def may(who: str, source: str) -> bool:
        context = {"aws:SecureTransport": "true", "aws:SourceAccount": NUMBER, "aws:SourceArn": source}
        return aws.allows(Ask(who, "s3:PutObject", log, context))

    inbox = f"arn:aws:s3:::{aws.outputs['InboxBucket']}"
    allowed = [
        may("logging.s3.amazonaws.com", inbox),
        may("logging.s3.amazonaws.com", "arn:aws:s3:::another-bucket"),
        may(aws.outputs["LoaderRoleArn"], inbox),
    ]
    assert allowed == [True, False, False]
