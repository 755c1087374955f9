"""Random access to what comes as a stream, for formats that are not read from front to back.

Belongs here: where the bytes wait. Does not belong here: what they mean.

A dump holds personal data in clear, and nothing of it may lie on a disk unsealed. So bytes stay in memory up to a
bound, and beyond it go to a temporary file without a name, encrypted under a key that this object alone knows: a
killed process leaves noise. AES in counter mode, since any part of it can be read alone; it costs less than the disk.
A source that can seek by itself is used as it is.
"""

from __future__ import annotations

import contextlib
import io
import os
import secrets
import tempfile
from collections.abc import Iterator
from typing import BinaryIO, Protocol

from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

MEMORY = 64 << 20  # bytes held in memory; a daily delta is far smaller, and a small pod can spare them
_PART = 4 << 20
_BLOCK = 16  # bytes, of AES


class Readable(Protocol):
    """What can be read from front to back."""

    def read(self, size: int, /) -> bytes:
        """The next bytes, none at the end."""


@contextlib.contextmanager
def spooled(stream: Readable, *, memory: int = MEMORY) -> Iterator[BinaryIO]:
    """The whole stream as a file that can seek, at its start.

    Args:
        stream: read to its end.
        memory: bytes up to which it is held in memory.
    """
    held = io.BytesIO()
    while part := stream.read(_PART):
        held.write(part)
        if held.tell() > memory:
            break
    if not part:
        held.seek(0)
        yield held
        return
    with tempfile.TemporaryFile() as file:
        sealed = _SealedFile(file)
        sealed.append(held.getvalue())
        held.close()
        while part := stream.read(_PART):
            sealed.append(part)
        with io.BufferedReader(sealed, buffer_size=1 << 16) as reader:
            yield reader


class _SealedFile(io.RawIOBase):
    """A file that is clear to its reader only."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._key = secrets.token_bytes(32)
        self._first = int.from_bytes(secrets.token_bytes(_BLOCK))
        self._writer = self._keystream(0)
        self._size = 0
        self._at = 0

    def append(self, part: bytes) -> None:
        self._file.write(self._writer.update(part))
        self._size += len(part)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]  # io takes any buffer
        block, skip = divmod(self._at, _BLOCK)
        self._file.seek(block * _BLOCK)
        clear = self._keystream(block).update(self._file.read(skip + len(buffer)))[skip:]
        buffer[: len(clear)] = clear
        self._at += len(clear)
        return len(clear)

    def _keystream(self, block: int) -> CipherContext:
        counter = (self._first + block) % (1 << 8 * _BLOCK)
        return Cipher(AES(self._key), CTR(counter.to_bytes(_BLOCK))).encryptor()
