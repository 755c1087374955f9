"""The resources of the code location, at work on the embedded parts."""

from __future__ import annotations

from claims_pipeline_tests.fix_dagster import CodeLocation


def test_a_part_of_an_object_can_be_read(location: CodeLocation) -> None:
    location.s3.put_object(Bucket=location.inbox, Key="object", Body=b"0123456789")
    client = location.pipeline.s3.get_client()
    part = client.get_object(Bucket=location.inbox, Key="object", Range="bytes=2-4")
    assert part["Body"].read() == b"234"


def test_a_client_is_made_once_a_process(location: CodeLocation) -> None:
    assert location.pipeline.s3.get_client() is location.pipeline.s3.get_client()
