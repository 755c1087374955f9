"""S3 as this project uses it: paged listings, streamed reads, streamed archiving with a hash, uploads.

Belongs here: calls of the S3 API and the sorting of their errors. Does not belong here: what keys mean (names.py), what
is new (the ledger), secrets and endpoints (a client is passed in).
"""

from __future__ import annotations

import datetime as dt
import hashlib
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, BinaryIO, Protocol, cast

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    ResponseStreamingError,
)
from botocore.exceptions import (
    ConnectionError as BotoConnectionError,
)

from claims_pipeline.errors import BadDump, ClaimsPipelineError, Transient

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectTypeDef

_MIB = 1 << 20
# Two threads and parts of 8 MiB: reading and writing overlap, and memory stays flat whatever the object's size. The
# source is read by one thread, so the hash sees the bytes in order.
_WAITING = 3
"""Parts that wait for a thread, ten by default: memory for nothing. boto3 has no argument for it."""

TRANSFER = TransferConfig(multipart_threshold=8 * _MIB, multipart_chunksize=8 * _MIB, max_concurrency=2)
TRANSFER.max_in_memory_upload_chunks = _WAITING


@dataclass(frozen=True)
class ListedObject:
    """An object of a listing; `last_modified` is UTC and tells when its upload began."""

    bucket: str
    key: str
    etag: str
    size: int
    last_modified: dt.datetime


@dataclass(frozen=True)
class ArchivedObject:
    """A copy in the archive.

    Attributes:
        sha256: hex, over the bytes as they were read once.
        size: bytes read.
        etag: of the object that was read.
        version_id: of the object that was read; None in a bucket without versions.
    """

    sha256: str
    size: int
    etag: str
    version_id: str | None


_WRITES = ("PutObject", "CreateMultipartUpload", "CopyObject")


def encrypt_writes(client: S3Client, algorithm: str, kms_key_id: str | None = None) -> None:
    """Make a client ask for server-side encryption with every object that it writes, whoever calls it. Idempotent.

    S3 itself checks what it is sent: boto3 adds a CRC to every object and part, unless a client was told not to, as
    that of the embedded endpoint is (rclone takes checksums and encryption headers, and heeds neither).

    Args:
        client: changed in place.
        algorithm: "AES256", "aws:kms", or "" for what the bucket has as its default.
        kms_key_id: key for "aws:kms"; None is the account's own.
    """
    asked = {"ServerSideEncryption": algorithm} if algorithm else {}
    if algorithm == "aws:kms" and kms_key_id:
        asked["SSEKMSKeyId"] = kms_key_id

    def ask(params: dict[str, Any], **_: object) -> None:
        params.update(asked)

    for operation in _WRITES:
        event, name = f"provide-client-params.s3.{operation}", f"claims-encryption-{operation}"
        client.meta.events.unregister(event, unique_id=name)
        if asked:
            client.meta.events.register(event, ask, unique_id=name)


@contextmanager
def s3_errors(what: str) -> Iterator[None]:
    """Turn errors of S3 into the project's, with the bucket or key in `what` and none of the body.

    Raises:
        Transient: time-outs, lost connections, 5xx, throttling; beyond what boto3 has itself retried.
        ClaimsPipelineError: everything else, such as no permission or no such bucket.
    """
    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "?")
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if status >= 500 or status == 429 or code in {"SlowDown", "RequestTimeout", "Throttling", "InternalError"}:
            raise Transient(f"S3 failed ({code}, HTTP {status}): {what}") from None
        raise ClaimsPipelineError(f"S3 refused ({code}, HTTP {status}): {what}") from None
    except (HTTPClientError, BotoConnectionError, ResponseStreamingError, IncompleteReadError) as error:
        raise Transient(f"the connection to S3 failed ({type(error).__name__}): {what}") from None
    except NoCredentialsError:
        raise ClaimsPipelineError(
            f"no credentials for S3: {what}. Set CLAIMS_S3_ACCESS_KEY_ID and CLAIMS_S3_SECRET_ACCESS_KEY, or a role"
        ) from None
    except (BotoCoreError, OSError) as error:
        raise Transient(f"S3 did not finish ({type(error).__name__}): {what}") from None


def list_objects(client: S3Client, bucket: str, prefix: str, *, after: str = "") -> Iterator[list[ListedObject]]:
    """Pages of at most 1,000 objects below a prefix, in the order of their keys.

    Args:
        client: of S3.
        bucket: its name.
        prefix: of the keys.
        after: only keys behind this one, which need not exist; "" for all.

    Raises:
        Transient, ClaimsPipelineError: see `s3_errors`. A listing that failed is never an empty inbox.
    """
    paginator = client.get_paginator("list_objects_v2")
    begin: Any = {"StartAfter": after} if after else {}
    with s3_errors(f"listing s3://{bucket}/{prefix}"):
        for page in paginator.paginate(Bucket=bucket, Prefix=prefix, **begin):
            yield [_listed(bucket, item) for item in page.get("Contents", [])]


def list_page(client: S3Client, bucket: str, prefix: str, *, after: str, most: int) -> tuple[list[ListedObject], bool]:
    """One page of objects below a prefix, in the order of their keys, and whether it is all there is.

    Args:
        client: of S3.
        bucket: its name.
        prefix: of the keys.
        after: only keys behind this one, which need not exist; "" for all.
        most: objects, 1,000 at most.

    Raises:
        Transient, ClaimsPipelineError: see `s3_errors`.
    """
    begin: Any = {"StartAfter": after} if after else {}
    with s3_errors(f"listing s3://{bucket}/{prefix}"):
        page = client.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=most, **begin)
    return [_listed(bucket, item) for item in page.get("Contents", [])], not page["IsTruncated"]


def find(client: S3Client, *, bucket: str, key: str) -> ListedObject | None:
    """One object exactly as a listing shows it; None where there is no such object.

    Raises:
        Transient, ClaimsPipelineError: see `s3_errors`.
    """
    with s3_errors(f"looking for s3://{bucket}/{key}"):
        # Of all keys that begin with it, it is the first.
        page = client.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1)
    return next((_listed(bucket, item) for item in page.get("Contents", []) if item["Key"] == key), None)


def _listed(bucket: str, item: ObjectTypeDef) -> ListedObject:
    moment = item["LastModified"].astimezone(dt.UTC)
    return ListedObject(bucket, item["Key"], item["ETag"].strip('"'), item["Size"], moment)


def head(client: S3Client, *, bucket: str, key: str) -> ListedObject:
    """One object as a listing would show it.

    Raises:
        Transient, ClaimsPipelineError: see `s3_errors`.
    """
    with s3_errors(f"reading s3://{bucket}/{key}"):
        found = client.head_object(Bucket=bucket, Key=key)
    moment = found["LastModified"].astimezone(dt.UTC)
    return ListedObject(bucket, key, found["ETag"].strip('"'), found["ContentLength"], moment)


def exists(client: S3Client, *, bucket: str, key: str) -> bool:
    """Whether there is such an object.

    Raises:
        Transient, ClaimsPipelineError: see `s3_errors`.
    """
    with s3_errors(f"looking for s3://{bucket}/{key}"):
        try:
            client.head_object(Bucket=bucket, Key=key)
        except ClientError as error:
            if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 404:
                return False
            raise
    return True


def archive_object(client: S3Client, *, source: ListedObject, to_bucket: str, to_key: str) -> ArchivedObject:
    """Copy an object byte for byte into the archive, reading it once, in flat memory, with its SHA-256.

    Raises:
        BadDump: the bytes read are not those listed (rule "dump.changed"): the upload is still going on.
        Transient, ClaimsPipelineError: see `s3_errors`.
    """
    name = f"s3://{source.bucket}/{source.key}"
    with s3_errors(f"copying {name} to s3://{to_bucket}/{to_key}"):
        response = client.get_object(Bucket=source.bucket, Key=source.key)
        etag, expected = response["ETag"].strip('"'), response["ContentLength"]
        if (etag, expected) != (source.etag, source.size):  # before a byte of it could replace an earlier copy
            raise BadDump(
                "dump.changed",
                f"{name} was overwritten between listing and reading; it is read when it is listed again",
            )
        reader = _HashingReader(response["Body"])
        client.upload_fileobj(cast("IO[bytes]", reader), to_bucket, to_key, Config=TRANSFER)
        if reader.size != expected:
            raise Transient(f"{name} broke off after {reader.size} of {expected} bytes")
        stored = client.head_object(Bucket=to_bucket, Key=to_key)["ContentLength"]
        if stored != reader.size:
            raise Transient(f"the archive holds {stored} bytes of {name}, {reader.size} were sent")
    return ArchivedObject(reader.sha256, reader.size, etag, response.get("VersionId"))


def digest(client: S3Client, *, bucket: str, key: str) -> tuple[int, str]:
    """Size and SHA-256 (hex) of an object, by reading it.

    Raises:
        Transient, ClaimsPipelineError: see `s3_errors`.
    """
    return fetch(client, None, bucket=bucket, key=key)


def fetch(
    client: S3Client, into: BinaryIO | None, *, bucket: str, key: str, progress: Callable[[int], None] | None = None
) -> tuple[int, str]:
    """Read an object once, in order, into a file; its size and SHA-256 (hex).

    Args:
        client: of S3.
        into: open for writing; None to have the hash alone.
        bucket: where it is.
        key: its key.
        progress: told of bytes read so far.

    Raises:
        Transient, ClaimsPipelineError: see `s3_errors`.
    """
    sha256, size = hashlib.sha256(), 0
    with open_object(client, bucket=bucket, key=key) as stream:
        while chunk := stream.read(_MIB):
            sha256.update(chunk)
            size += len(chunk)
            if into is not None:
                into.write(chunk)
            if progress is not None:
                progress(size)
    return size, sha256.hexdigest()


def read_small(client: S3Client, *, bucket: str, key: str, most: int) -> bytes | None:
    """The first bytes of an object, at most so many; None where there is no such object.

    Raises:
        Transient, ClaimsPipelineError: see `s3_errors`.
    """
    with s3_errors(f"reading s3://{bucket}/{key}"):
        try:
            body = client.get_object(Bucket=bucket, Key=key)["Body"]
        except client.exceptions.NoSuchKey:
            return None
        found: bytes = body.read(most)
        body.close()
    return found


def put_bytes(client: S3Client, *, bucket: str, key: str, body: bytes, content_type: str) -> None:
    """Write a small object.

    Raises:
        Transient, ClaimsPipelineError: see `s3_errors`.
    """
    with s3_errors(f"writing s3://{bucket}/{key}"):
        client.put_object(Bucket=bucket, Key=key, Body=body, ContentType=content_type)


def upload_stream(
    client: S3Client,
    stream: Readable,
    *,
    bucket: str,
    key: str,
    most_bytes: int,
    progress: Callable[[int], None] | None = None,
) -> tuple[int, str]:
    """Upload a stream of unknown length in flat memory; nothing is stored when reading it raises.

    Args:
        client: of S3.
        stream: read once, in order, in parts.
        bucket: where to.
        key: where to.
        most_bytes: what it will hardly exceed; S3 takes 10,000 parts, so this decides how large they are.
        progress: told of bytes read so far.

    Returns:
        Size and SHA-256 (hex) of what was read.

    Raises:
        Transient, ClaimsPipelineError: see `s3_errors`; and what reading the stream raises.
    """
    part = max(8 * _MIB, most_bytes // 5_000)
    config = TransferConfig(multipart_threshold=part, multipart_chunksize=part, max_concurrency=2)
    config.max_in_memory_upload_chunks = _WAITING
    reader = _HashingReader(stream, progress)
    with s3_errors(f"writing s3://{bucket}/{key}"):
        client.upload_fileobj(cast("IO[bytes]", reader), bucket, key, Config=config)
        stored = client.head_object(Bucket=bucket, Key=key)["ContentLength"]
    if stored != reader.size:
        raise Transient(f"s3://{bucket}/{key} holds {stored} bytes, {reader.size} were sent")
    return reader.size, reader.sha256


@contextmanager
def open_object(client: S3Client, *, bucket: str, key: str) -> Iterator[BinaryIO]:
    """An object as a readable stream, never whole in memory.

    Raises:
        Transient, ClaimsPipelineError: see `s3_errors`; also from reads within the block.
    """
    what = f"reading s3://{bucket}/{key}"
    with s3_errors(what):
        response = client.get_object(Bucket=bucket, Key=key)
    stream: BinaryIO = io.BufferedReader(
        _ObjectStream(response["Body"], response["ContentLength"], what), buffer_size=_MIB
    )
    try:
        yield stream
    finally:
        response["Body"].close()


def ensure_bucket(client: S3Client, bucket: str) -> bool:
    """Make a bucket where there is none (embedded parts only); True when it was made."""
    with s3_errors(f"making bucket {bucket}"):
        if bucket in {b["Name"] for b in client.list_buckets()["Buckets"]}:
            return False
        try:
            client.create_bucket(Bucket=bucket)
        except (client.exceptions.BucketAlreadyExists, client.exceptions.BucketAlreadyOwnedByYou):
            return False  # another process has just made it
    return True


class Readable(Protocol):
    """What an upload can read from."""

    def read(self, amount: int | None = None, /) -> bytes:
        """At most so many bytes, all without a number; b"" at the end."""


class _HashingReader:
    """Hands through a body to an upload, counting and hashing."""

    def __init__(self, body: Readable, progress: Callable[[int], None] | None = None) -> None:
        self._body = body
        self._hash = hashlib.sha256()
        self._progress = progress
        self.size = 0

    def read(self, amount: int = -1) -> bytes:
        chunk = self._body.read(amount if amount >= 0 else None)
        self._hash.update(chunk)
        self.size += len(chunk)
        if self._progress is not None:
            self._progress(self.size)
        return chunk

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()


class _ObjectStream(io.RawIOBase):
    """A body as a raw stream whose errors are the project's, and which notices when it ends early."""

    def __init__(self, body: Any, size: int, what: str) -> None:  # noqa: ANN401 - botocore's body has no type
        self._body = body
        self._left = size
        self._what = what

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - io's own signature
        with s3_errors(self._what):
            chunk = self._body.read(len(buffer))
        if not chunk and self._left:
            raise Transient(f"the connection to S3 ended {self._left} bytes early: {self._what}")
        buffer[: len(chunk)] = chunk
        self._left -= len(chunk)
        return len(chunk)
