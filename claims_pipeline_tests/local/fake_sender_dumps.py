"""Generated dumps in memory, and their rows as Python's own csv module reads them."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import BinaryIO

from claims_pipeline.local.fake_sender import DumpManifest, Manifest, Plan, generate

csv.field_size_limit(1 << 30)


@dataclass
class InMemory:
    """A sink that keeps what it is given, by key."""

    objects: dict[str, bytes] = field(default_factory=dict)

    @contextmanager
    def __call__(self, key: str) -> Iterator[BinaryIO]:
        buffer = io.BytesIO()
        yield buffer
        self.objects[key] = buffer.getvalue()


@dataclass(frozen=True)
class Generated:
    """A manifest and the bytes it speaks of."""

    manifest: Manifest = field(repr=False)
    objects: dict[str, bytes] = field(repr=False)

    def plain(self, dump: DumpManifest) -> bytes:
        """A dump's CSV, without compression."""
        data = self.objects[dump.key]
        return gzip.decompress(data) if dump.dialect.gzip else data

    def rows(self, dump: DumpManifest) -> list[dict[str, str]]:
        """A dump's rows by column; ragged ones lack columns or have one under None. NULL is the dialect's text."""
        text = self.plain(dump).decode("utf-8-sig", errors="replace")
        return list(csv.DictReader(io.StringIO(text, newline="")))

    def of(self, dataset: str) -> list[DumpManifest]:
        """The dumps of one dataset, in order."""
        return [dump for dump in self.manifest.dumps if dump.dataset == dataset]


def generated(plan: Plan, *datasets: str) -> Generated:
    """What a plan gives."""
    sink = InMemory()
    return Generated(generate(plan, sink, datasets=datasets or None), sink.objects)
