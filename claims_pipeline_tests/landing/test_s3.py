"""S3 over the real protocol: listings, copies with their hash, and connections that really break."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.config import Config

from claims_pipeline.errors import BadDump, ClaimsPipelineError, Transient
from claims_pipeline.landing.s3 import (
    ArchivedObject,
    ListedObject,
    archive_object,
    digest,
    ensure_bucket,
    list_objects,
    put_bytes,
)
from claims_pipeline.landing.s3_files import object_reader
from claims_pipeline.local import LocalServices, S3Endpoint, s3_client
from claims_pipeline_tests.fix_proxy import Proxy

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

MIB = 1 << 20
LARGE = 20 * MIB  # three parts of an upload


def content(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def put(s3: S3Client, bucket: str, body: bytes, key: str = "inbox/a.csv") -> ListedObject:
    s3.put_object(Bucket=bucket, Key=key, Body=body)
    return next(item for page in list_objects(s3, bucket, key) for item in page)


def archive(s3: S3Client, source: ListedObject) -> ArchivedObject:
    return archive_object(s3, source=source, to_bucket=source.bucket, to_key="archive/a.csv")


def is_there(s3: S3Client, bucket: str, prefix: str) -> bool:
    return any(page for page in list_objects(s3, bucket, prefix))


# ------------------------------------------------------------------------------------------ listing


def test_a_listing_of_more_than_a_thousand_objects_is_whole(s3: S3Client, bucket: str) -> None:
    keys = [f"inbox/{i:04}.csv" for i in range(1_005)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda key: s3.put_object(Bucket=bucket, Key=key, Body=b""), keys))
    pages = list(list_objects(s3, bucket, "inbox/"))
    assert [item.key for page in pages for item in page] == keys
    assert len(pages) == 2


def test_a_listing_holds_what_lies_below_the_prefix(s3: S3Client, bucket: str) -> None:
    put(s3, bucket, b"x", "other/a.csv")
    wanted = put(s3, bucket, b"abc", "inbox/deep/a.csv")
    assert list(list_objects(s3, bucket, "inbox/")) == [[wanted]]
    assert (wanted.size, wanted.etag) == (3, hashlib.md5(b"abc", usedforsecurity=False).hexdigest())


def test_the_arrival_is_in_utc(s3: S3Client, bucket: str) -> None:
    offset = put(s3, bucket, b"x").last_modified.utcoffset()
    assert offset is not None
    assert not offset


def test_an_empty_inbox_is_no_error(s3: S3Client, bucket: str) -> None:
    assert not is_there(s3, bucket, "inbox/")


# ------------------------------------------------------------------------------------------ archive


@pytest.mark.parametrize("size", [0, 1, 8 * MIB, LARGE])
def test_the_archive_holds_the_same_bytes_and_their_hash(s3: S3Client, bucket: str, size: int) -> None:
    body = content(size)
    source = put(s3, bucket, body)
    copy = archive(s3, source)
    assert copy == ArchivedObject(hashlib.sha256(body).hexdigest(), size, source.etag, copy.version_id)
    assert digest(s3, bucket=bucket, key="archive/a.csv") == (size, copy.sha256)


def test_an_object_that_was_overwritten_since_it_was_listed_is_not_taken(s3: S3Client, bucket: str) -> None:
    source = put(s3, bucket, b"first")
    put(s3, bucket, b"other")
    with pytest.raises(BadDump) as caught:
        archive(s3, source)
    assert caught.value.rule == "dump.changed"


def test_an_object_that_was_overwritten_replaces_no_earlier_copy(s3: S3Client, bucket: str) -> None:
    source = put(s3, bucket, b"first")
    copy = archive(s3, source)
    put(s3, bucket, b"other")
    with pytest.raises(BadDump):
        archive(s3, source)
    assert digest(s3, bucket=bucket, key="archive/a.csv") == (5, copy.sha256)


def test_an_object_of_another_size_than_listed_is_not_taken(s3: S3Client, bucket: str) -> None:
    # As on endpoints whose ETag is no hash of the content.
    source = put(s3, bucket, b"first")
    with pytest.raises(BadDump):
        archive(s3, dataclasses.replace(source, size=3))


def test_an_object_that_went_away_is_refused_and_not_retried(s3: S3Client, bucket: str) -> None:
    source = put(s3, bucket, b"x")
    s3.delete_object(Bucket=bucket, Key=source.key)
    with pytest.raises(ClaimsPipelineError, match="NoSuchKey") as caught:
        archive(s3, source)
    assert not isinstance(caught.value, Transient)


# ------------------------------------------------------------------------------------------ refused


def refusals(s3: S3Client, bucket: str) -> dict[str, Callable[[], object]]:
    """Every function of the room against a bucket."""
    source = ListedObject(bucket, "a", "etag", 1, dt.datetime.now(dt.UTC))
    return {
        "list": lambda: list(list_objects(s3, bucket, "")),
        "archive": lambda: archive(s3, source),
        "put": lambda: put_bytes(s3, bucket=bucket, key="a", body=b"x", content_type="text/plain"),
        "read at any place": lambda: object_reader(s3, bucket=bucket, key="a"),
        "digest": lambda: digest(s3, bucket=bucket, key="a"),
    }


CALLS = ["list", "archive", "put", "read at any place", "digest"]


@pytest.mark.parametrize("call", CALLS)
def test_a_missing_bucket_is_told_by_name_and_not_retried(s3: S3Client, call: str) -> None:
    with pytest.raises(ClaimsPipelineError, match="no-such-bucket") as caught:
        refusals(s3, "no-such-bucket")[call]()
    assert not isinstance(caught.value, Transient)


@pytest.mark.parametrize("call", CALLS)
def test_wrong_credentials_are_refused_and_not_retried(services: LocalServices, bucket: str, call: str) -> None:
    stranger = s3_client(dataclasses.replace(services.s3, secret_access_key="wrong"))
    with pytest.raises(ClaimsPipelineError, match="HTTP 403") as caught:
        refusals(stranger, bucket)[call]()
    assert not isinstance(caught.value, Transient)


def test_a_bucket_is_made_once(s3: S3Client, bucket: str) -> None:
    assert ensure_bucket(s3, f"{bucket}-2")
    assert not ensure_bucket(s3, f"{bucket}-2")


# ------------------------------------------------------------------------------------------ broken connections


@pytest.fixture
def proxy(services: LocalServices, proxy_to: Callable[[str], Proxy]) -> Proxy:
    """Between the client and the embedded S3."""
    return proxy_to(services.s3.url)


def impatient(endpoint: S3Endpoint, proxy: Proxy) -> S3Client:
    """A client through the proxy that neither retries nor waits."""
    return boto3.client(
        "s3",
        endpoint_url=proxy.in_place_of(endpoint.url),
        region_name=endpoint.region,
        aws_access_key_id=endpoint.access_key_id,
        aws_secret_access_key=endpoint.secret_access_key,
        config=Config(
            retries={"total_max_attempts": 1},
            connect_timeout=5,
            read_timeout=1,
            s3={"addressing_style": "path"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


@pytest.fixture
def client(services: LocalServices, proxy: Proxy) -> S3Client:
    return impatient(services.s3, proxy)


def break_off(proxy: Proxy) -> None:
    proxy.cut_after(0)


@pytest.mark.parametrize("trouble", [Proxy.refuse, Proxy.stall, break_off])
def test_a_listing_that_breaks_is_no_empty_inbox(
    s3: S3Client, client: S3Client, bucket: str, proxy: Proxy, trouble: Callable[[Proxy], None]
) -> None:
    put(s3, bucket, b"x")
    trouble(proxy)
    with pytest.raises(Transient):
        list(list_objects(client, bucket, "inbox/"))


@pytest.mark.parametrize("after", [0, 1_000, 5 * MIB, 12 * MIB])
def test_a_connection_that_breaks_leaves_no_truncated_object_in_the_archive(
    s3: S3Client, client: S3Client, bucket: str, proxy: Proxy, after: int
) -> None:
    source = put(s3, bucket, content(LARGE))
    proxy.cut_after(after)
    with pytest.raises(Transient):
        archive(client, source)
    assert not is_there(s3, bucket, "archive/")


def test_a_small_object_whose_connection_breaks_is_not_in_the_archive(
    s3: S3Client, client: S3Client, bucket: str, proxy: Proxy
) -> None:
    source = put(s3, bucket, content(MIB))
    proxy.cut_after(MIB // 2)  # the header of the answer, and less than its body
    with pytest.raises(Transient):
        archive(client, source)
    assert not is_there(s3, bucket, "archive/")


def test_the_retry_after_a_broken_connection_archives_the_whole(
    s3: S3Client, client: S3Client, bucket: str, proxy: Proxy
) -> None:
    source = put(s3, bucket, content(LARGE))
    proxy.cut_after(5 * MIB)
    with pytest.raises(Transient):
        archive(client, source)
    proxy.heal()
    assert archive(client, source).sha256 == hashlib.sha256(content(LARGE)).hexdigest()


def test_a_stream_that_breaks_does_not_end_quietly(s3: S3Client, client: S3Client, bucket: str, proxy: Proxy) -> None:
    source = put(s3, bucket, content(4 * MIB))
    proxy.cut_after(2 * MIB)
    with pytest.raises(Transient):
        digest(client, bucket=bucket, key=source.key)
