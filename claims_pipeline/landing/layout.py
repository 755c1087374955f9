"""Where things lie in the archive bucket: keys of the raw archive and of the validated frames. Pure."""

from __future__ import annotations

import datetime as dt


def raw_key(*, sender: str, dataset: str, day: dt.date, dump_id: int, inbox_key: str) -> str:
    """Key of a dump in the raw archive, by date partition; the dump's number keeps re-sent names apart."""
    return f"raw/{_partition(sender, dataset, day)}/dump={dump_id}/{inbox_key.rpartition('/')[2]}"


def manifest_key(archive_key: str) -> str:
    """Key of the note beside a raw dump that says where it came from, for when there is no database to ask."""
    return f"{archive_key}.manifest.json"


def validated_key(*, sender: str, dataset: str, day: dt.date, dump_id: int) -> str:
    """Folder of a dump's validated frames: `rows.parquet` and `rejects.parquet`."""
    return f"validated/{_partition(sender, dataset, day)}/dump={dump_id}"


def _partition(sender: str, dataset: str, day: dt.date) -> str:
    return f"{sender}/{dataset}/year={day:%Y}/month={day:%m}/day={day:%d}"
