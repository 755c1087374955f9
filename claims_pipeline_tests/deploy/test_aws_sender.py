"""What a sender may do with deploy/aws/sender.yaml, by API calls: put, get and list below its prefix, and no more."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any
from urllib.request import Request, urlopen

import boto3
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from claims_pipeline.feeds.va_form526 import SENDER
from claims_pipeline_tests.deploy.account import REGION, STRANGER, Account, account

pytestmark = pytest.mark.filterwarnings("ignore:Tried to parse:UserWarning")  # account.py does these parts

EXTERNAL_ID = "agreed-with-the-sender"
KEY = f"{SENDER.prefix}a.csv"


@pytest.fixture(scope="module")
def aws() -> Iterator[Account]:
    with account() as made:
        made.deploy(
            "sender", Sender=SENDER.name, Prefix=SENDER.prefix, SenderPrincipal=STRANGER, ExternalId=EXTERNAL_ID
        )
        yield made


@pytest.fixture(scope="module")
def s3(aws: Account) -> Any:
    """S3 as the sender."""
    return aws.client("s3", aws.sender(EXTERNAL_ID))


@pytest.fixture(scope="module")
def inbox(aws: Account) -> str:
    bucket = aws.outputs["InboxBucket"]
    aws.admin("s3").put_object(Bucket=bucket, Key="indici/theirs.csv", Body=b"x")
    return bucket


def refuses(call: Callable[..., object], **arguments: object) -> bool:
    try:
        call(**arguments)
    except ClientError as error:
        return error.response["Error"]["Code"] in {"AccessDenied", "AccessDeniedException"}
    return False


# ---------------------------------------------------------------------------------------------- what it may


def test_it_puts_and_gets_below_its_prefix(s3: Any, inbox: str) -> None:
    s3.put_object(Bucket=inbox, Key=KEY, Body=b"rows")
    assert s3.get_object(Bucket=inbox, Key=KEY)["Body"].read() == b"rows"


def test_it_puts_a_large_dump_in_parts(s3: Any, inbox: str) -> None:
    parts = TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20, max_concurrency=1)
    s3.upload_fileobj(io.BytesIO(bytes(11 << 20)), inbox, f"{SENDER.prefix}large.csv", Config=parts)
    assert s3.head_object(Bucket=inbox, Key=f"{SENDER.prefix}large.csv")["ETag"].endswith('-3"')


def test_it_lists_its_prefix(s3: Any, inbox: str) -> None:
    s3.put_object(Bucket=inbox, Key=KEY, Body=b"rows")
    found = s3.list_objects_v2(Bucket=inbox, Prefix=SENDER.prefix)["Contents"]
    assert KEY in [item["Key"] for item in found]


def test_what_it_overwrites_is_kept(s3: Any, inbox: str, aws: Account) -> None:
    key = f"{SENDER.prefix}twice.csv"
    for body in (b"first", b"second"):
        s3.put_object(Bucket=inbox, Key=key, Body=body)
    assert len(aws.admin("s3").list_object_versions(Bucket=inbox, Prefix=key)["Versions"]) == 2


# ---------------------------------------------------------------------------------------------- what it may not


def test_it_cannot_delete(s3: Any, inbox: str) -> None:
    s3.put_object(Bucket=inbox, Key=KEY, Body=b"rows")
    assert refuses(s3.delete_object, Bucket=inbox, Key=KEY)


def test_it_cannot_delete_many_at_once(s3: Any, inbox: str) -> None:
    assert refuses(s3.delete_objects, Bucket=inbox, Delete={"Objects": [{"Key": KEY}]})


def test_it_cannot_delete_a_version(s3: Any, inbox: str) -> None:
    version = s3.put_object(Bucket=inbox, Key=KEY, Body=b"rows")["VersionId"]
    assert refuses(s3.delete_object, Bucket=inbox, Key=KEY, VersionId=version)


@pytest.mark.parametrize("prefix", ["indici/", "", "5", "indici/../526/"])
def test_it_cannot_list_anything_else(s3: Any, inbox: str, prefix: str) -> None:
    assert refuses(s3.list_objects_v2, Bucket=inbox, Prefix=prefix)


def test_it_cannot_put_at_anothers_prefix(s3: Any, inbox: str) -> None:
    assert refuses(s3.put_object, Bucket=inbox, Key="indici/mine.csv", Body=b"x")


def test_it_cannot_get_from_anothers_prefix(s3: Any, inbox: str) -> None:
    assert refuses(s3.get_object, Bucket=inbox, Key="indici/theirs.csv")


@pytest.mark.parametrize("bucket", ["ArchiveBucket", "BackupBucket"])
def test_it_cannot_read_what_is_ours(s3: Any, aws: Account, bucket: str) -> None:
    aws.admin("s3").put_object(Bucket=aws.outputs[bucket], Key=KEY, Body=b"x")
    assert refuses(s3.get_object, Bucket=aws.outputs[bucket], Key=KEY)


def test_it_cannot_read_the_queue(aws: Account) -> None:
    queue = aws.client("sqs", aws.sender(EXTERNAL_ID))
    assert refuses(queue.receive_message, QueueUrl=aws.outputs["EventsQueueUrl"])


@pytest.mark.parametrize(
    "encryption",
    [
        {"ServerSideEncryption": "AES256"},
        {"ServerSideEncryption": "aws:kms"},
        {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": f"arn:aws:kms:{REGION}:111122223333:key/theirs"},
        {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "k" * 32},
    ],
    ids=["no key", "the account's key", "a key of KMS of its own", "a key that it keeps to itself"],
)
def test_it_cannot_put_under_another_key(s3: Any, inbox: str, encryption: dict[str, str]) -> None:
    assert refuses(s3.put_object, Bucket=inbox, Key=KEY, Body=b"rows", **encryption)


def test_it_may_name_the_inboxs_own_key(s3: Any, inbox: str, aws: Account) -> None:
    own = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": aws.outputs["InboxKeyArn"]}
    assert not refuses(s3.put_object, Bucket=inbox, Key=KEY, Body=b"rows", **own)


def test_without_tls_it_can_do_nothing(s3: Any, inbox: str, aws: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aws.gate, "secure", False)
    assert refuses(s3.put_object, Bucket=inbox, Key=KEY, Body=b"rows")


# ---------------------------------------------------------------------------------------------- who it is


def test_without_its_external_id_the_role_is_not_given(aws: Account) -> None:
    assert refuses(aws.sender, external_id="guessed-by-someone-else")


def test_another_role_of_the_senders_account_does_not_get_it(aws: Account) -> None:
    other = {"access_key": "OTHER", "arn": "arn:aws:iam::111122223333:role/other"}
    assert refuses(aws.sender, external_id=EXTERNAL_ID, **other)


def test_the_emulators_own_iam_says_the_same_where_it_can(aws: Account, inbox: str) -> None:
    """It has its own reading of actions and resources, and checks signatures; of conditions it knows nothing."""
    taken = aws.admin("sts").assume_role(RoleArn=aws.outputs["SenderRoleArn"], RoleSessionName="daily")["Credentials"]
    s3: Any = boto3.client(
        "s3",
        endpoint_url=aws.url,
        region_name=REGION,
        aws_access_key_id=taken["AccessKeyId"],
        aws_secret_access_key=taken["SecretAccessKey"],
        aws_session_token=taken["SessionToken"],
    )
    with enforced(aws):
        s3.put_object(Bucket=inbox, Key=KEY, Body=b"rows")
        got = s3.get_object(Bucket=inbox, Key=KEY)["Body"].read()
        refused = [
            refuses(s3.delete_object, Bucket=inbox, Key=KEY),
            refuses(s3.put_object, Bucket=inbox, Key="indici/mine.csv", Body=b"x"),
            refuses(s3.get_object, Bucket=inbox, Key="indici/theirs.csv"),
            refuses(s3.list_objects_v2, Bucket=aws.outputs["ArchiveBucket"]),
        ]
    assert (got, refused) == (b"rows", [True] * 4)


class enforced:  # noqa: N801 - used as a word
    """The emulator's own IAM, for a while."""

    def __init__(self, aws: Account) -> None:
        self._url = f"{aws.url}/moto-api/reset-auth"

    def __enter__(self) -> None:
        self._after("0")

    def __exit__(self, *_: object) -> None:
        self._after("inf")

    def _after(self, requests: str) -> None:
        urlopen(Request(self._url, data=requests.encode(), headers={"Content-Type": "text/plain"})).close()
