"""The embedded S3 endpoint behaves as S3 does, where the pipeline relies on it."""

from __future__ import annotations

import hashlib
import io
from itertools import count
from typing import TYPE_CHECKING

import boto3
import pytest
from boto3.s3.transfer import TransferConfig
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from claims_pipeline.landing.s3 import ensure_bucket
from claims_pipeline.local import LocalServices, s3_client
from claims_pipeline.local.s3 import S3Endpoint
from claims_pipeline_tests.fix_services import bucket, s3, services

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

__all__ = ["bucket", "s3", "services"]

# No control characters: they cannot be written in the XML of a listing.
SEGMENTS = st.text(
    st.characters(exclude_categories=("C", "Z"), exclude_characters="/"), min_size=1, max_size=40
).filter(lambda text: text not in {".", ".."} and not text.startswith(".rclone_temp_"))
FOLDERS = count()


def keys(s3: S3Client, bucket: str, *, prefix: str = "", page: int = 1000) -> list[str]:
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket=bucket, Prefix=prefix, PaginationConfig={"PageSize": page}
    )
    return [entry["Key"] for found in pages for entry in found.get("Contents", [])]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(segments=st.lists(SEGMENTS, min_size=1, max_size=3), body=st.binary(max_size=2000))
def test_an_object_comes_back_byte_for_byte_under_any_key(
    s3: S3Client, bucket: str, segments: list[str], body: bytes
) -> None:
    key = "/".join([str(next(FOLDERS)), *segments])
    s3.put_object(Bucket=bucket, Key=key, Body=body)
    assert keys(s3, bucket, prefix=key) == [key]
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == body


def test_a_listing_in_small_pages_has_every_key_once_in_order(s3: S3Client, bucket: str) -> None:
    names = sorted(f"day={day}/file {number}.csv" for day in range(3) for number in range(7))
    for name in reversed(names):
        s3.put_object(Bucket=bucket, Key=name, Body=b"x")
    assert keys(s3, bucket, page=4) == names


def test_a_prefix_may_end_within_a_name(s3: S3Client, bucket: str) -> None:
    for name in ("in/VBMS_1.csv", "in/VBMS_2.csv", "in/other.csv"):
        s3.put_object(Bucket=bucket, Key=name, Body=b"x")
    assert keys(s3, bucket, prefix="in/VBMS") == ["in/VBMS_1.csv", "in/VBMS_2.csv"]


def test_a_listing_shows_a_put_an_overwrite_and_a_delete_at_once(s3: S3Client, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="in/a.csv", Body=b"one")
    seen = [s3.list_objects_v2(Bucket=bucket)["Contents"][0]["Size"]]
    s3.put_object(Bucket=bucket, Key="in/a.csv", Body=b"three")
    seen.append(s3.list_objects_v2(Bucket=bucket)["Contents"][0]["Size"])
    s3.delete_object(Bucket=bucket, Key="in/a.csv")
    assert (seen, keys(s3, bucket)) == ([3, 5], [])


def test_a_multipart_upload_arrives_whole(s3: S3Client, bucket: str) -> None:
    body = bytes(range(256)) * (12 << 12)
    s3.upload_fileobj(io.BytesIO(body), bucket, "big.bin", Config=TransferConfig(multipart_threshold=5 << 20))
    received = hashlib.sha256()
    for chunk in s3.get_object(Bucket=bucket, Key="big.bin")["Body"].iter_chunks(1 << 20):
        received.update(chunk)
    assert received.digest() == hashlib.sha256(body).digest()


def test_the_etag_is_the_md5(s3: S3Client, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a.csv", Body=b"content")
    etag = s3.head_object(Bucket=bucket, Key="a.csv")["ETag"]
    assert etag.strip('"') == hashlib.md5(b"content", usedforsecurity=False).hexdigest()


def test_a_range_can_be_read(s3: S3Client, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a.csv", Body=b"0123456789")
    assert s3.get_object(Bucket=bucket, Key="a.csv", Range="bytes=2-4")["Body"].read() == b"234"


def test_a_wrong_secret_is_refused(services: LocalServices) -> None:
    stranger = s3_client(S3Endpoint(services.s3.url, services.s3.region, services.s3.access_key_id, "wrong"))
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        stranger.list_buckets()


def test_a_caller_without_credentials_is_refused(services: LocalServices, bucket: str) -> None:
    config = Config(signature_version=UNSIGNED, proxies={})
    nobody = boto3.client("s3", endpoint_url=services.s3.url, region_name=services.s3.region, config=config)
    with pytest.raises(ClientError, match=r"UnsupportedAlgorithm|AccessDenied"):
        nobody.list_objects_v2(Bucket=bucket)


def test_a_bucket_that_exists_stays_as_it_is(s3: S3Client, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a.csv", Body=b"x")
    ensure_bucket(s3, bucket)
    assert keys(s3, bucket) == ["a.csv"]
