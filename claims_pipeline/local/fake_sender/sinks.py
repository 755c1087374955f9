"""Where generated dumps go: a folder, or a bucket.

Belongs here: opening one object for writing, whole or not at all. Does not belong here: what is written.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeAlias, cast

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

Sink: TypeAlias = Callable[[str], AbstractContextManager[BinaryIO]]

PART_BYTES = 16 << 20  # S3 takes 10,000 parts of at least 5 MiB: this reaches 160 GB


@dataclass
class Delivered:
    """Passes bytes on to a sink, and knows what passed: a file that can only be written, for gzip and Arrow too."""

    sink: BinaryIO
    size: int = 0
    sha256: hashlib._Hash = field(default_factory=hashlib.sha256)
    closed: bool = False

    def write(self, data: bytes | memoryview, /) -> int:
        """Pass bytes on."""
        view = memoryview(data)
        self.sha256.update(view)
        self.size += view.nbytes
        self.sink.write(view)
        return view.nbytes

    def tell(self) -> int:
        """Bytes that passed."""
        return self.size

    def flush(self) -> None:
        """Nothing is held back here."""

    def close(self) -> None:
        """The sink is closed by whoever opened it."""


def folder_sink(root: Path) -> Sink:
    """Dumps as files under a folder; a key's slashes are folders. A file appears when it is complete."""

    @contextmanager
    def opened(key: str) -> Iterator[BinaryIO]:
        target = root / key
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f"{target.name}.tmp")
        try:
            with partial.open("wb") as file:
                yield file
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)

    return opened


def s3_sink(client: S3Client, bucket: str) -> Sink:
    """Dumps as objects of a bucket, uploaded in parts while they are written; memory holds one part.

    An error while writing aborts the upload: no object appears. Errors of S3 are botocore's own.
    """

    @contextmanager
    def opened(key: str) -> Iterator[BinaryIO]:
        upload = _Upload(client, bucket, key)
        try:
            yield cast("BinaryIO", upload)
            upload.complete()
        except BaseException:  # also of KeyboardInterrupt: parts left behind are paid for, and shown by nothing
            upload.abort()
            raise

    return opened


class _Upload(io.RawIOBase):
    """A write-only file over a multipart upload, or one plain PUT where everything fits into a part."""

    def __init__(self, client: S3Client, bucket: str, key: str) -> None:
        super().__init__()
        self._client, self._bucket, self._key = client, bucket, key
        self._buffer = bytearray()
        self._upload_id: str | None = None
        self._parts: list[CompletedPartTypeDef] = []

    def writable(self) -> bool:
        return True

    def write(self, data: bytes | memoryview, /) -> int:  # type: ignore[override]  # what the engine and gzip write
        view = memoryview(data)
        self._buffer += view
        while len(self._buffer) >= PART_BYTES:
            self._send(bytes(self._buffer[:PART_BYTES]))
            del self._buffer[:PART_BYTES]
        return view.nbytes

    def _send(self, part: bytes) -> None:
        if self._upload_id is None:
            begun = self._client.create_multipart_upload(Bucket=self._bucket, Key=self._key)
            self._upload_id = begun["UploadId"]
        number = len(self._parts) + 1
        answer = self._client.upload_part(
            Bucket=self._bucket, Key=self._key, UploadId=self._upload_id, PartNumber=number, Body=part
        )
        self._parts.append({"PartNumber": number, "ETag": answer["ETag"]})

    def complete(self) -> None:
        """Send what is left and make the object appear."""
        if self._upload_id is None:
            self._client.put_object(Bucket=self._bucket, Key=self._key, Body=bytes(self._buffer))
            return
        if self._buffer:
            self._send(bytes(self._buffer))
        self._client.complete_multipart_upload(
            Bucket=self._bucket, Key=self._key, UploadId=self._upload_id, MultipartUpload={"Parts": self._parts}
        )

    def abort(self) -> None:
        """Give the parts back."""
        if self._upload_id is not None:
            self._client.abort_multipart_upload(Bucket=self._bucket, Key=self._key, UploadId=self._upload_id)
