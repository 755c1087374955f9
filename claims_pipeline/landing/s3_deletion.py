"""Deleting in S3: objects by the thousand, and uploads that were begun and never ended.

Belongs here: calls of the S3 API that take something away. Does not belong here: which (upkeep decides); reading and
writing (s3.py).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from claims_pipeline.errors import ClaimsPipelineError
from claims_pipeline.landing import s3
from claims_pipeline.landing.s3 import s3_errors

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_AT_ONCE = 1_000  # the most that S3 takes


@dataclass(frozen=True)
class IncompleteUpload:
    """A multipart upload without an end; `begun` is UTC."""

    bucket: str
    key: str
    upload_id: str
    begun: dt.datetime


def delete_objects(client: S3Client, *, bucket: str, keys: Sequence[str]) -> None:
    """Delete objects, 1,000 to a call. Those that are gone already are no error.

    In a bucket with versions this only hides them: a lifecycle rule for noncurrent versions ends them.

    Raises:
        Transient, ClaimsPipelineError: see `s3_errors`; also where S3 refused some of them (the others are deleted).
    """
    for first in range(0, len(keys), _AT_ONCE):
        batch = keys[first : first + _AT_ONCE]
        with s3_errors(f"deleting {len(batch)} objects of s3://{bucket}"):
            answer = client.delete_objects(
                Bucket=bucket, Delete={"Objects": [{"Key": key} for key in batch], "Quiet": True}
            )
        if errors := answer.get("Errors"):
            code = errors[0].get("Code", "?")
            raise ClaimsPipelineError(f"S3 refused ({code}) to delete {len(errors)} of {len(batch)} of s3://{bucket}")


def delete_for_good(client: S3Client, *, bucket: str, prefix: str) -> None:
    """Delete all objects below a prefix, in a bucket with versions every version of them and the delete markers.

    Raises:
        Transient, ClaimsPipelineError: as `delete_objects`; also where an object lock forbids it.
    """
    for objects in s3.list_objects(client, bucket, prefix):
        delete_objects(client, bucket=bucket, keys=[item.key for item in objects])
    with s3_errors(f"asking whether s3://{bucket} has versions"):
        if not client.get_bucket_versioning(Bucket=bucket).get("Status"):
            return
    what = f"deleting versions below s3://{bucket}/{prefix}"
    with s3_errors(what):
        for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
            found = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
            if not found:
                continue
            answer = client.delete_objects(
                Bucket=bucket,
                Delete={"Objects": [{"Key": v["Key"], "VersionId": v["VersionId"]} for v in found], "Quiet": True},
            )
            if errors := answer.get("Errors"):
                raise ClaimsPipelineError(f"S3 refused ({errors[0].get('Code', '?')}): {what}")


def incomplete_uploads(client: S3Client, bucket: str) -> Iterator[list[IncompleteUpload]]:
    """Pages of multipart uploads that were begun and neither completed nor aborted.

    Raises:
        Transient, ClaimsPipelineError: see `s3_errors`.
    """
    paginator = client.get_paginator("list_multipart_uploads")
    with s3_errors(f"listing incomplete uploads of s3://{bucket}"):
        try:
            for page in paginator.paginate(Bucket=bucket):
                yield [
                    IncompleteUpload(bucket, item["Key"], item["UploadId"], item["Initiated"].astimezone(dt.UTC))
                    for item in page.get("Uploads", [])
                ]
        except ClientError as error:
            # How the embedded S3 (rclone 1.7) says that a bucket has seen no upload in parts since it was started.
            if error.response.get("Error", {}).get("Code") != "NoSuchUpload":
                raise


def upload_size(client: S3Client, upload: IncompleteUpload) -> int:
    """Bytes that an incomplete upload has sent so far.

    Raises:
        Transient, ClaimsPipelineError: see `s3_errors`.
    """
    with s3_errors(f"reading an incomplete upload of s3://{upload.bucket}/{upload.key}"):
        pages = client.get_paginator("list_parts").paginate(
            Bucket=upload.bucket, Key=upload.key, UploadId=upload.upload_id
        )
        return sum(part["Size"] for page in pages for part in page.get("Parts", []))


def abort_upload(client: S3Client, upload: IncompleteUpload) -> None:
    """Abort an incomplete upload: its parts are deleted.

    Raises:
        Transient, ClaimsPipelineError: see `s3_errors`.
    """
    with s3_errors(f"aborting an upload of s3://{upload.bucket}/{upload.key}"):
        client.abort_multipart_upload(Bucket=upload.bucket, Key=upload.key, UploadId=upload.upload_id)
