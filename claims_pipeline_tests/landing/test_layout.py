"""Where things lie in the archive bucket."""

from __future__ import annotations

import datetime as dt

from claims_pipeline.landing import layout

DAY = dt.date(2026, 5, 1)


def test_the_raw_archive_is_partitioned_by_day() -> None:
    key = layout.raw_key(sender="lab", dataset="visits", day=DAY, dump_id=7, inbox_key="lab/deep/down/v.csv.gz")
    assert key == "raw/lab/visits/year=2026/month=05/day=01/dump=7/v.csv.gz"


def test_two_dumps_of_one_name_do_not_share_a_key() -> None:
    keys = {layout.raw_key(sender="s", dataset="d", day=DAY, dump_id=n, inbox_key="s/same.csv") for n in (1, 2)}
    assert len(keys) == 2


def test_the_note_lies_beside_its_dump() -> None:
    assert layout.manifest_key("raw/x.csv") == "raw/x.csv.manifest.json"


def test_validated_frames_have_a_folder_per_dump() -> None:
    key = layout.validated_key(sender="lab", dataset="visits", day=DAY, dump_id=7)
    assert key == "validated/lab/visits/year=2026/month=05/day=01/dump=7"
