"""Where things lie in the archive bucket: keys of the raw archive and of the validated frames. Pure."""

from __future__ import annotations

import datetime as dt
import re

_NOTE = re.compile(r"\.(manifest|pruned|decision\.\d+)\.json$")
_TOKEN_KEY = re.compile(r"-k([A-Za-z0-9]+)$")
_VALIDATED = re.compile(r"(.*/[0-9a-f]{12})(?:-e\d+)?(-k[A-Za-z0-9]+)?")
_FRAMES = re.compile(r"(?:rebuild/[^/]+/)?validated/[^/]+/[^/]+/year=\d{4}/month=\d\d/day=\d\d/dump=\d+/[^/]+")
_DUMP = re.compile(r"(?:raw|validated)/[^/]+/[^/]+/year=\d{4}/month=\d\d/day=\d\d/dump=(\d+)/")


def raw_key(*, sender: str, dataset: str, day: dt.date, dump_id: int, inbox_key: str) -> str:
    """Key of a dump in the raw archive, by date partition; the dump's number keeps re-sent names apart."""
    return f"raw/{_partition(sender, dataset, day)}/dump={dump_id}/{inbox_key.rpartition('/')[2]}"


REBUILD = "rebuild/"
"""Where the validated frames of rebuilds lie until they end."""


def raw_prefix(sender: str, dataset: str) -> str:
    """What the keys of a feed's raw dumps begin with."""
    return f"raw/{sender}/{dataset}/"


def manifest_key(archive_key: str) -> str:
    """Key of the note beside a raw dump that says where it came from, for when there is no database to ask."""
    return f"{archive_key}.manifest.json"


def decision_prefix(archive_key: str) -> str:
    """What the keys of all notes about decisions on a raw dump begin with."""
    return f"{archive_key}.decision."


def decision_key(archive_key: str, number: int) -> str:
    """Key of the note about a person's decision on a raw dump; `number` counts its decisions from 1."""
    return f"{decision_prefix(archive_key)}{number}.json"


def pruned_key(archive_key: str) -> str:
    """Key of the note that a raw dump's bytes were deleted by retention; a rebuild has no other way to know."""
    return f"{archive_key}.pruned.json"


def noted(key: str) -> str:
    """The raw dump's key that a note's key is about; the key itself where it is no note's."""
    return _NOTE.sub("", key)


def dump_folder(key: str) -> tuple[int, str] | None:
    """Of a key in the raw archive or of validated frames: its dump's number, and the folder of all that is the dump's.

    Returns:
        None for a key that this module has not made.
    """
    found = _DUMP.match(f"{key}/")
    return (int(found[1]), found[0]) if found else None


def validated_key(
    *, sender: str, dataset: str, day: dt.date, dump_id: int, contract: str, generation: int = 0, token_key: str = ""
) -> str:
    """Folder of a dump's validated frames: `rows.parquet` and `rejects.parquet`.

    The contract's fingerprint is part of it: frames in effect stay when the dump is validated by another contract. So
    is the number of the sender's last erasure: what is deleted after one is never written again under the same key.
    And so is the version of the key that made the tokens: one key's tokens never replace another's (docs/keys.md).
    """
    version = f"{contract[:12]}-e{generation}" if generation else contract[:12]
    version += f"-k{token_key}" if token_key else ""
    return f"validated/{_partition(sender, dataset, day)}/dump={dump_id}/{version}"


def is_frames(folder: str) -> bool:
    """Whether it is one folder of validated frames, and neither a part of the archive above it nor anything else."""
    return _FRAMES.fullmatch(folder) is not None


def token_key_of(frames_key: str) -> str:
    """The version of the key of the tokens in validated frames, by their folder; "" where it does not say."""
    found = _TOKEN_KEY.search(frames_key)
    return found[1] if found else ""


ERASURES = "erasures/"
"""Where the notes of erasures lie, for when there is no database to ask."""


def erased_key(frames_key: str, generation: int) -> str:
    """Folder of frames that are written again after an erasure, from their folder before it."""
    found = _VALIDATED.fullmatch(frames_key)
    return f"{found[1]}-e{generation}{found[2] or ''}" if found else f"{frames_key}-e{generation}"


def erasure_key(sender: str, at: dt.datetime, token: str) -> str:
    """Key of the note of one erasure; `token` tells those of one second apart."""
    return f"{ERASURES}{sender}/{at:%Y%m%dT%H%M%SZ}-{token}.json"


def _partition(sender: str, dataset: str, day: dt.date) -> str:
    return f"{sender}/{dataset}/year={day:%Y}/month={day:%m}/day={day:%d}"
