"""Objects as files: written without a copy on disk, read at any place, and nothing stored of what broke off."""

from __future__ import annotations

import io
import random
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from claims_pipeline.errors import ClaimsPipelineError, Transient
from claims_pipeline.landing.s3 import exists
from claims_pipeline.landing.s3_files import object_reader, object_writer
from claims_pipeline.local import LocalServices
from claims_pipeline_tests.fix_proxy import Proxy

from .test_s3 import impatient

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

MIB = 1 << 20
SIZES = [0, 1, 1000, MIB, MIB + 1, 20 * MIB + 7]  # of one part and of several; small enough to be read at once, or not
KEY = "validated/rows.parquet"


def content(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def write(s3: S3Client, bucket: str, body: bytes, *, at_once: int = 100_000) -> None:
    with object_writer(s3, bucket=bucket, key=KEY) as file:
        for start in range(0, len(body), at_once):
            assert file.tell() == start
            file.write(body[start : start + at_once])


@pytest.mark.parametrize("size", SIZES)
def test_what_is_written_is_stored(s3: S3Client, bucket: str, size: int) -> None:
    write(s3, bucket, content(size))
    assert s3.get_object(Bucket=bucket, Key=KEY)["Body"].read() == content(size)


def test_nothing_is_there_before_the_end(s3: S3Client, bucket: str) -> None:
    with object_writer(s3, bucket=bucket, key=KEY) as file:
        file.write(content(20 * MIB))
        assert not exists(s3, bucket=bucket, key=KEY)


@pytest.mark.parametrize("size", SIZES)
def test_nothing_is_stored_when_the_writer_breaks_off(s3: S3Client, bucket: str, size: int) -> None:
    def broken_off() -> None:
        with object_writer(s3, bucket=bucket, key=KEY) as file:
            file.write(content(size))
            raise LookupError

    with pytest.raises(LookupError):
        broken_off()
    assert not exists(s3, bucket=bucket, key=KEY)


@pytest.mark.parametrize("size", SIZES)
def test_nothing_is_stored_of_what_is_discarded(s3: S3Client, bucket: str, size: int) -> None:
    with object_writer(s3, bucket=bucket, key=KEY) as file:
        file.write(content(size))
        file.discard()
    assert not exists(s3, bucket=bucket, key=KEY)


def test_an_earlier_object_stays_when_the_new_one_is_discarded(s3: S3Client, bucket: str) -> None:
    write(s3, bucket, b"first")
    with object_writer(s3, bucket=bucket, key=KEY) as file:
        file.write(b"second")
        file.discard()
    assert s3.get_object(Bucket=bucket, Key=KEY)["Body"].read() == b"first"


@pytest.mark.parametrize("size", [1000, 40 * MIB])
def test_a_refused_write_is_told_to_the_writer(s3: S3Client, size: int) -> None:
    with pytest.raises(ClaimsPipelineError, match="S3 refused"):
        write(s3, "no-such", content(size))


def test_no_thread_is_left_behind(s3: S3Client, bucket: str) -> None:
    write(s3, bucket, b"a")
    with pytest.raises(ClaimsPipelineError), object_writer(s3, bucket="no-such", key=KEY):
        pass
    assert not [thread for thread in threading.enumerate() if thread.name == "upload"]


@pytest.mark.parametrize("size", SIZES[1:])
def test_every_part_of_an_object_can_be_read(s3: S3Client, bucket: str, size: int) -> None:
    body = content(size)
    s3.put_object(Bucket=bucket, Key=KEY, Body=body)
    file = object_reader(s3, bucket=bucket, key=KEY)
    dice = random.Random(size)
    for start in [0, size // 2, size - 1, *(dice.randrange(size) for _ in range(10))]:
        length = dice.randrange(2 * MIB)
        assert file.seek(start) == start
        assert file.read(length) == body[start : start + length]
    assert file.seek(0, io.SEEK_END) == size
    assert file.read() == b""
    file.seek(0)
    assert file.read() == body


def test_an_object_that_was_replaced_while_it_was_read_is_not_mixed(s3: S3Client, bucket: str) -> None:
    first, second = content(3 * MIB), content(3 * MIB + 1)
    s3.put_object(Bucket=bucket, Key=KEY, Body=first)
    file = object_reader(s3, bucket=bucket, key=KEY)
    s3.put_object(Bucket=bucket, Key=KEY, Body=second)
    with pytest.raises(Transient, match="replaced"):
        file.read(2 * MIB)


@pytest.fixture
def proxy(services: LocalServices, proxy_to: Callable[[str], Proxy]) -> Proxy:
    """Between a client and S3."""
    return proxy_to(services.s3.url)


@pytest.fixture
def client(services: LocalServices, proxy: Proxy) -> S3Client:
    """A client through the proxy that neither retries nor waits."""
    return impatient(services.s3, proxy)


def test_a_read_whose_connection_breaks_is_transient(s3: S3Client, client: S3Client, bucket: str, proxy: Proxy) -> None:
    s3.put_object(Bucket=bucket, Key=KEY, Body=content(8 * MIB))
    file = object_reader(client, bucket=bucket, key=KEY)
    proxy.cut_after(2 * MIB)
    with pytest.raises(Transient):
        file.read(7 * MIB)


@pytest.mark.parametrize("before", [0, 20 * MIB])
def test_a_write_whose_connection_breaks_is_transient_and_stores_nothing(
    s3: S3Client, client: S3Client, bucket: str, proxy: Proxy, before: int
) -> None:
    def broken() -> None:
        with object_writer(client, bucket=bucket, key=KEY) as file:
            file.write(content(before))
            proxy.refuse()
            file.write(content(20 * MIB))

    with pytest.raises(Transient):
        broken()
    assert not exists(s3, bucket=bucket, key=KEY)
