"""The bytes of a dump as they are read: decompressed, counted, and within bounds.

Belongs here: compression. Does not belong here: text (`text_stream`), random access (`spool`), formats.
"""

from __future__ import annotations

import bz2
import gzip
import io
import zlib
from collections.abc import Callable
from typing import BinaryIO, Literal, TypeVar

import pyarrow as pa

from claims_pipeline.errors import BadDump

Compression = Literal["gzip", "zstd", "bz2"]
T = TypeVar("T")

BOMB_BYTES = 256 << 20  # what is larger than this
BOMB_RATIO = 200  # and than so many times its compressed size is no dump (text packs 3 to 30 times)


class Watched(io.RawIOBase):
    """A source that knows how many bytes it gave and whether it failed itself.

    Attributes:
        count: bytes given.
        failed: whether the source raised. Arrow and bz2 tell damaged data by OSError, as a network or a disk does.
    """

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self.count = 0
        self.failed = False

    def read(self, size: int = -1, /) -> bytes:
        """The next `size` bytes, fewer only at the end: Arrow takes a short answer for the end of the file."""
        parts = [self._own(lambda: self._source.read(size))]
        left = size - len(parts[0])
        while parts[-1] and left > 0:
            parts.append(self._own(lambda: self._source.read(left)))  # noqa: B023 - called at once
            left -= len(parts[-1])
        part = parts[0] if len(parts) == 1 else b"".join(parts)
        self.count += len(part)
        return part

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """As the source's; a source that does not say is not."""
        says = getattr(self._source, "seekable", None)
        return says is not None and bool(says())

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """As the source's."""
        return self._own(lambda: self._source.seek(offset, whence))

    def tell(self) -> int:
        """As the source's."""
        return self._own(self._source.tell)

    def _own(self, act: Callable[[], T]) -> T:
        try:
            return act()
        except BaseException:
            self.failed = True
            raise


class Stream:
    """The dump's bytes, decompressed. Trouble with the compression becomes BadDump; trouble of the source stays."""

    def __init__(self, source: BinaryIO, compression: Compression | None) -> None:
        """Wrap a source, which need not be seekable."""
        self._watched = Watched(source)
        self._compression = compression
        self._given = 0
        self._source: io.RawIOBase | gzip.GzipFile | bz2.BZ2File | pa.NativeFile = self._watched
        if compression == "gzip":
            self._source = gzip.GzipFile(fileobj=self._watched, mode="rb")
        elif compression == "bz2":
            self._source = bz2.BZ2File(self._watched)
        elif compression == "zstd":
            self._source = pa.CompressedInputStream(pa.PythonFile(self._watched, "r"), "zstd")

    def read(self, size: int) -> bytes:
        """The next `size` bytes; fewer only at the end.

        Raises:
            BadDump: dump.unreadable.
        """
        parts: list[bytes] = []
        while size > 0 and (part := self._read_some(size)):
            parts.append(part)
            size -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _read_some(self, size: int) -> bytes:
        problem = ""
        part = b""
        try:
            part = self._source.read(size) or b""
        except EOFError:
            problem = f"the {self._compression} stream is cut off"
        except (OSError, zlib.error):
            if self._watched.failed or self._compression is None:
                raise
            problem = (
                f"the {self._compression} stream is cut off or damaged, or the dump is not compressed with "
                f"{self._compression}"
            )
        if problem:
            raise BadDump("dump.unreadable", problem)
        self._given += len(part)
        if self._compression and self._given > max(BOMB_BYTES, BOMB_RATIO * self._watched.count):
            raise BadDump("dump.unreadable", f"the dump unpacks to more than {BOMB_RATIO} times its size")
        return part
