"""Objects of S3 as files: written in order without a copy on disk, read at any place.

Belongs here: file objects over an S3 client. Does not belong here: listing and archiving (s3.py), what the bytes mean.
"""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, BinaryIO, cast

from claims_pipeline.errors import Transient
from claims_pipeline.landing.s3 import TRANSFER, s3_errors

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_SMALL = 1 << 20  # bytes up to which an object is read at once
_TAIL = 1 << 16  # bytes at the end of others that are read at once: there Parquet has its footer


class _DiscardedError(Exception):
    """What the upload reads is not to be stored."""


class ObjectWriter(io.RawIOBase):
    """A file to write that becomes an object.

    Bytes go through a pipe to the thread that uploads them: a writer that is faster waits.
    """

    def __init__(self, client: S3Client, *, bucket: str, key: str) -> None:
        """Begin the upload; nothing is stored before `close`."""
        self._what = f"writing s3://{bucket}/{key}"
        self._source, self._sink = os.pipe()
        self._error: BaseException | None = None
        self._discarded = False
        self._at = 0
        self._thread = threading.Thread(target=self._upload, args=(client, bucket, key), name="upload", daemon=True)
        self._thread.start()

    def writable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """Bytes written so far."""
        return self._at

    def write(self, data: Any, /) -> int:  # noqa: ANN401 - io takes any buffer
        """Hand bytes over to the upload.

        Raises:
            Transient, ClaimsPipelineError: the upload has failed.
        """
        view = memoryview(data).cast("B")
        done = 0
        while done < len(view):
            try:
                done += os.write(self._sink, view[done:])
            except BrokenPipeError:
                break
        if done < len(view):
            self._thread.join()
            self._raise()
        self._at += done
        return done

    def discard(self) -> None:
        """Store nothing."""
        self._discarded = True
        self._finish()

    def close(self) -> None:
        """Store the object, unless it was discarded.

        Raises:
            Transient, ClaimsPipelineError: see `s3_errors`; nothing is stored.
        """
        if not self.closed:
            self._finish()
            super().close()
            self._raise()

    def _finish(self) -> None:
        if self._sink >= 0:
            os.close(self._sink)
            self._sink = -1
            self._thread.join()

    def _raise(self) -> None:
        if self._error is not None and not self._discarded:
            raise self._error

    def _upload(self, client: S3Client, bucket: str, key: str) -> None:
        try:
            with s3_errors(self._what), io.FileIO(self._source, "rb") as pipe:
                reader = cast("IO[bytes]", _PipeReader(pipe, self))
                client.upload_fileobj(reader, bucket, key, Config=TRANSFER)
        except _DiscardedError:
            pass
        except Exception as error:  # handed over: the writer raises it
            self._error = error

    @property
    def discarded(self) -> bool:
        """Whether the object is not to be stored."""
        return self._discarded


class _PipeReader:
    """What an upload reads: the pipe, filled up, and an error at its end where the object is not to be stored."""

    def __init__(self, pipe: io.FileIO, writer: ObjectWriter) -> None:
        self._pipe = pipe
        self._writer = writer

    def read(self, amount: int = -1) -> bytes:
        parts: list[bytes] = []
        left = amount
        while left != 0 and (part := self._pipe.read(left if amount >= 0 else -1)):
            parts.append(part)
            left -= len(part)
        if (amount < 0 or left > 0) and self._writer.discarded:
            raise _DiscardedError
        return b"".join(parts)


@contextmanager
def object_writer(client: S3Client, *, bucket: str, key: str) -> Iterator[ObjectWriter]:
    """A file to write, stored as an object when the block ends; nothing is stored when it raises or is discarded.

    Raises:
        Transient, ClaimsPipelineError: see `s3_errors`.
    """
    writer = ObjectWriter(client, bucket=bucket, key=key)
    try:
        yield writer
    except BaseException:
        writer.discard()
        writer.close()
        raise
    writer.close()


class _ObjectReader(io.RawIOBase):
    """An object that can seek; bytes are fetched by ranges. Its end is kept, and the whole of a small one."""

    def __init__(self, client: S3Client, *, bucket: str, key: str) -> None:
        self._client = client
        self._bucket = bucket
        self._key = key
        self._what = f"reading s3://{bucket}/{key}"
        self._at = 0
        with s3_errors(self._what):
            response = client.get_object(Bucket=bucket, Key=key, Range=f"bytes=0-{_SMALL - 1}")
            self._tail = response["Body"].read()
        total = response.get("ContentRange", "").rpartition("/")[2]
        self._size = int(total) if total else response["ContentLength"]
        self._etag = response["ETag"]
        if self._size > _SMALL:
            self._tail = b""
            self._tail = self._fetch(self._size - _TAIL, self._size)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1, /) -> bytes:
        end = self._size if size is None or size < 0 else min(self._at + size, self._size)
        part = self._fetch(self._at, end)
        self._at = end
        return part

    def readinto(self, buffer: Any, /) -> int:  # noqa: ANN401 - io's own signature
        part = self.read(len(buffer))
        buffer[: len(part)] = part
        return len(part)

    def _fetch(self, start: int, end: int) -> bytes:
        kept_from = self._size - len(self._tail)
        if start >= kept_from:
            return self._tail[start - kept_from : end - kept_from]
        with s3_errors(self._what):
            response = self._client.get_object(Bucket=self._bucket, Key=self._key, Range=f"bytes={start}-{end - 1}")
            part = response["Body"].read()
        if response["ETag"] != self._etag:  # not every endpoint heeds If-Match
            raise Transient(f"the object was replaced while it was read: {self._what}")
        if len(part) != end - start:
            raise Transient(f"the connection to S3 ended early: {self._what}")
        return part


def object_reader(client: S3Client, *, bucket: str, key: str) -> BinaryIO:
    """An object as a file that can seek, never whole in memory if it is larger than 1 MiB.

    Raises:
        Transient, ClaimsPipelineError: see `s3_errors`; also from reads.
    """
    return cast("BinaryIO", _ObjectReader(client, bucket=bucket, key=key))
