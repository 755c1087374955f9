"""How objects are written: encryption as the settings ask, checksums, and streams of unknown length."""

from __future__ import annotations

import hashlib
import io
import random
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from claims_pipeline.errors import ClaimsPipelineError
from claims_pipeline.landing.s3 import (
    archive_object,
    encrypt_writes,
    fetch,
    list_objects,
    put_bytes,
    upload_stream,
)
from claims_pipeline.landing.s3_files import object_writer
from claims_pipeline.local import LocalServices, s3_client
from claims_pipeline.orchestration.resources import InboxS3

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

MIB = 1 << 20
ENCRYPTION, KEY = "x-amz-server-side-encryption", "x-amz-server-side-encryption-aws-kms-key-id"
Headers = list[dict[str, str]]


@pytest.fixture
def client(services: LocalServices) -> S3Client:
    """A client of the test's own: encryption is asked for by the client."""
    return s3_client(services.s3)


def spy(client: S3Client) -> Headers:
    """The headers of every object that the client begins to write from now on."""
    sent: Headers = []

    def note(request: Any, **_: object) -> None:
        text = {name.lower(): _text(value) for name, value in request.headers.items()}
        sent.append(text)

    for operation in ("PutObject", "CreateMultipartUpload"):
        client.meta.events.register(f"before-send.s3.{operation}", note)
    return sent


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def write_in_every_way(client: S3Client, bucket: str) -> None:
    put_bytes(client, bucket=bucket, key="bytes", body=b"x", content_type="text/plain")
    for name, size in (("small", 1), ("large", 9 * MIB)):
        with object_writer(client, bucket=bucket, key=name) as file:
            file.write(b"x" * size)
        upload_stream(client, io.BytesIO(b"x" * size), bucket=bucket, key=f"stream-{name}", most_bytes=1)
    for source in next(list_objects(client, bucket, "small")):
        archive_object(client, source=source, to_bucket=bucket, to_key="archived")


def test_every_write_asks_for_encryption(client: S3Client, bucket: str) -> None:
    encrypt_writes(client, "AES256")
    sent = spy(client)
    write_in_every_way(client, bucket)
    assert [headers.get(ENCRYPTION) for headers in sent] == ["AES256"] * 6


def test_a_kms_key_is_named(client: S3Client, bucket: str) -> None:
    encrypt_writes(client, "aws:kms", "alias/claims")
    sent = spy(client)
    write_in_every_way(client, bucket)
    assert {(headers.get(ENCRYPTION), headers.get(KEY)) for headers in sent} == {("aws:kms", "alias/claims")}


def test_without_a_setting_the_bucket_decides(client: S3Client, bucket: str) -> None:
    encrypt_writes(client, "AES256")
    encrypt_writes(client, "")
    sent = spy(client)
    write_in_every_way(client, bucket)
    assert {headers.get(ENCRYPTION) for headers in sent} == {None}


def test_a_client_of_a_real_s3_sends_a_checksum_with_every_object(pointed: str, bucket: str) -> None:
    client = InboxS3().get_client()
    sent = spy(client)
    write_in_every_way(client, bucket)
    names = {"x-amz-checksum-crc32", "x-amz-checksum-algorithm", "x-amz-trailer"}
    assert [bool(names & headers.keys()) for headers in sent] == [True] * 6


# ---------------------------------------------------------------------------------------------- streams


class Broken(io.RawIOBase):
    """A stream that fails after some bytes."""

    def __init__(self, good: int) -> None:
        self._left = good

    def readable(self) -> bool:
        return True

    def read(self, amount: int | None = -1) -> bytes:
        if not self._left:
            raise ClaimsPipelineError("the process failed")
        size = min(self._left, amount if amount is not None and amount >= 0 else self._left)
        self._left -= size
        return b"x" * size


@pytest.mark.parametrize("size", [0, 1, 8 * MIB, 20 * MIB + 1])
def test_a_stream_is_stored_as_it_was_read(client: S3Client, bucket: str, size: int) -> None:
    body = random.Random(size).randbytes(size)
    sent = upload_stream(client, io.BytesIO(body), bucket=bucket, key="a", most_bytes=size)
    back = io.BytesIO()
    assert fetch(client, back, bucket=bucket, key="a") == sent == (size, hashlib.sha256(body).hexdigest())
    assert back.getvalue() == body


@pytest.mark.parametrize("good", [0, 100, 20 * MIB])
def test_a_stream_that_fails_leaves_no_object(client: S3Client, bucket: str, good: int) -> None:
    with pytest.raises(ClaimsPipelineError, match="the process failed"):
        upload_stream(client, Broken(good), bucket=bucket, key="a", most_bytes=1)
    assert list(next(list_objects(client, bucket, ""), [])) == []


def test_progress_is_told(client: S3Client, bucket: str) -> None:
    told: list[int] = []
    upload_stream(client, io.BytesIO(b"x" * 100), bucket=bucket, key="a", most_bytes=1, progress=told.append)
    assert told[-1] == 100


@pytest.fixture(autouse=True)
def _no_spies(client: S3Client) -> Iterator[None]:
    """The client of the code location is kept for the process: it is left as it was found."""
    yield
    encrypt_writes(client, "")
