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


def test_validated_frames_have_a_folder_per_dump_and_contract() -> None:
    key = layout.validated_key(sender="lab", dataset="visits", day=DAY, dump_id=7, contract="0123456789abcdef")
    assert key == "validated/lab/visits/year=2026/month=05/day=01/dump=7/0123456789ab"


RAW = "raw/lab/visits/year=2026/month=05/day=01/dump=7/v.csv"


def test_every_note_is_about_the_dump_beside_it() -> None:
    notes = [layout.manifest_key(RAW), layout.pruned_key(RAW), layout.decision_key(RAW, 12)]
    assert {layout.noted(key) for key in notes} == {RAW}


def test_a_file_that_is_no_note_is_about_itself() -> None:
    assert layout.noted(RAW) == RAW


def test_the_folder_of_a_dump_is_found_from_any_key_in_it() -> None:
    folder = RAW.removesuffix("v.csv")
    assert {layout.dump_folder(key) for key in (RAW, folder.removesuffix("/"), layout.manifest_key(RAW))} == {
        (7, folder)
    }


def test_a_key_that_was_made_elsewhere_belongs_to_no_dump() -> None:
    assert [layout.dump_folder(key) for key in ("backups/x", f"rebuild/{RAW}", "raw/dump=7/v.csv")] == [None] * 3


def test_frames_are_known_by_their_folder_those_of_rebuilds_and_erasures_too() -> None:
    key = layout.validated_key(
        sender="lab", dataset="visits", day=DAY, dump_id=7, contract="0123456789ab", generation=2, token_key="1"
    )
    assert all(map(layout.is_frames, (key, layout.erased_key(key, 3), f"{layout.REBUILD}claims-1a2b3c4d/{key}")))
    assert not any(map(layout.is_frames, (f"{key}/", key.rpartition("/")[0], RAW, "validated", "")))
