"""Deleting for good, in buckets with and without versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from claims_pipeline.landing.s3_deletion import delete_for_good
from claims_pipeline_tests.fix_events import Cloud

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client


@pytest.fixture
def versions(cloud: Cloud) -> S3Client:
    """S3 that keeps versions; the embedded one does not."""
    client: S3Client = cloud.client("s3")
    return client


def test_of_a_bucket_with_versions_every_version_goes_and_its_neighbours_stay(versions: S3Client) -> None:
    versions.create_bucket(Bucket="versions")
    versions.put_bucket_versioning(Bucket="versions", VersioningConfiguration={"Status": "Enabled"})
    for body in (b"1", b"2"):
        for key in ("a/1/rows", "a/1-e2/rows"):
            versions.put_object(Bucket="versions", Key=key, Body=body)
    versions.delete_object(Bucket="versions", Key="a/1/rows")
    delete_for_good(versions, bucket="versions", prefix="a/1/")
    found = versions.list_object_versions(Bucket="versions")
    assert {item["Key"] for item in found.get("Versions", [])} == {"a/1-e2/rows"}
    assert not found.get("DeleteMarkers")


def test_of_a_bucket_without_versions_the_objects_go(s3: S3Client) -> None:
    s3.create_bucket(Bucket="deleted-for-good")
    for key in ("a/1/rows", "a/1-e2/rows"):
        s3.put_object(Bucket="deleted-for-good", Key=key, Body=b"1")
    delete_for_good(s3, bucket="deleted-for-good", prefix="a/1/")
    assert [item["Key"] for item in s3.list_objects_v2(Bucket="deleted-for-good")["Contents"]] == ["a/1-e2/rows"]
