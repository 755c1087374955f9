"""The text of a dump as UTF-8, whatever it is written in.

Belongs here: encodings, byte order marks, escapes before quotes, lines. Does not belong here: fields.

A place that cannot be decoded comes out as bytes that are no UTF-8, in the one value where it stands: the cast finds
them there ("<column>.encoding"), and the rest of the dump is read. That holds for bytes that the encoding does not
know (0x81 in cp1252) and for halves of UTF-16 pairs. An encoding whose characters cannot be told apart behind such a
place, and half a character at the end, refuse the dump.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

from claims_pipeline.errors import BadDump
from claims_pipeline.frames.spool import Readable

MAX_LINE = 64 << 20  # bytes
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16's, with which it begins
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


class TextStream:
    """UTF-8 without a byte order mark."""

    def __init__(
        self, stream: Readable, *, encoding: str = "utf-8", quote: str = '"', escape: str | None = None
    ) -> None:
        """Wrap a stream.

        Args:
            stream: the dump's bytes.
            encoding: what they are written in, a Python codec name.
            quote: one character.
            escape: one character that stands before a quote, or before itself, instead of a second one; None for
                none. Such quotes come out doubled, such escapes single.

        Raises:
            LookupError: no such encoding.
        """
        self._stream = stream
        self._encoding = codecs.lookup(encoding).name.removesuffix("-sig")
        # Halves of pairs are the only thing that UTF-16 and 32 cannot decode and yet step over.
        self._errors = "surrogatepass" if self._encoding.startswith("utf-") else "surrogateescape"
        self._decoder: codecs.IncrementalDecoder | None = None
        self._escapes = None
        if escape is not None:
            mark, marked = re.escape(escape.encode()), re.escape(quote.encode())
            self._escapes = re.compile(mark + b"(" + mark + b"|" + marked + b")")
            self._escape, self._quote = escape.encode(), quote.encode()
        self._held = b""
        self._begun = False

    def read(self, size: int, /) -> bytes:
        """The text of the next `size` bytes or more; none at the end only.

        Raises:
            BadDump: dump.unreadable.
        """
        while part := self._stream.read(size):
            if text := self._unescaped(self._decoded(part), at_end=False):
                return text
        return self._unescaped(self._decoded(b""), at_end=True)

    def _decoded(self, part: bytes) -> bytes:
        if not self._begun:
            self._begun = True
            part = self._unmarked(part)
        if self._decoder is None:
            return part
        try:
            return self._decoder.decode(part, final=not part).encode("utf-8", self._errors)
        except UnicodeError:
            pass
        raise BadDump(
            "dump.unreadable", f"the dump is not written in {self._encoding}, or was cut off within a character"
        )

    def _unmarked(self, part: bytes) -> bytes:
        """The first bytes without a byte order mark, which must agree with the declared encoding."""
        mark, marked = next(((mark, name) for mark, name in _MARKS if part.startswith(mark)), (b"", ""))
        if marked and self._encoding not in (marked, marked[:6].rstrip("-")):
            told = marked.upper()
            raise BadDump("dump.unreadable", f"the dump is written in {told}, not in {self._encoding.upper()}")
        actual = marked or {"utf-16": "utf-16-le", "utf-32": "utf-32-le"}.get(self._encoding, self._encoding)
        if actual != "utf-8":
            self._decoder = codecs.getincrementaldecoder(actual)(self._errors)
        return part[len(mark) :]

    def _unescaped(self, text: bytes, *, at_end: bool) -> bytes:
        if self._escapes is None:
            return text
        text = self._held + text
        # An escape whose character has not come yet: the last of an odd number.
        cut = 0 if at_end else (len(text) - len(text.rstrip(self._escape))) % 2
        text, self._held = text[: len(text) - cut], text[len(text) - cut :]
        return self._escapes.sub(lambda found: self._quote * 2 if found[1] == self._quote else found[1], text)


Line = tuple[int, str]
"""A line with its place in the file, from 1, and without its end."""


def lines_of(stream: TextStream, batch_bytes: int) -> Iterator[list[Line]]:
    """All lines that are not blank, some at a time; bytes that are no UTF-8 are lone surrogates.

    Raises:
        BadDump: dump.unreadable: a line is longer than `MAX_LINE`.
    """
    held = b""
    number = 1
    while part := stream.read(batch_bytes):
        whole, end, rest = part.rpartition(b"\n")
        held += whole + end if end else part
        if len(held) > MAX_LINE + batch_bytes:
            raise BadDump("dump.unreadable", f"a line is longer than {MAX_LINE} bytes")
        if end:
            if lines := _split(held, number):
                yield lines
            number += held.count(b"\n")
            held = rest
    if lines := _split(held, number):
        yield lines


def _split(text: bytes, first: int) -> list[Line]:
    lines = text.decode("utf-8", "surrogateescape").split("\n")
    return [(number, line) for number, line in enumerate(lines, first) if line and not line.isspace()]
