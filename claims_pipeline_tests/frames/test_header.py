"""Headers against the contract; names are shown only where they are surely names."""

from __future__ import annotations

import dataclasses

import pytest

from claims_pipeline.errors import BadDump
from claims_pipeline.frames.header import understand

from .samples import GOOD, VISITS

NAMES = tuple(GOOD)


def test_order_does_not_matter() -> None:
    layout = understand(tuple(reversed(NAMES)), VISITS)
    assert layout.positions["visit_id"] == len(NAMES) - 1
    assert layout.drift == ()


def test_dropped_columns_are_not_read() -> None:
    assert "secret" not in understand(NAMES, VISITS).positions


def test_an_alias_stands_for_its_column() -> None:
    layout = understand(tuple("room_no" if name == "room" else name for name in NAMES), VISITS)
    assert layout.positions["room"] == NAMES.index("room")
    assert layout.drift == ()


def test_new_and_absent_columns_are_drift() -> None:
    layout = understand((*(name for name in NAMES if name not in {"note", "secret"}), "shoe_size"), VISITS)
    assert layout.drift == ("added: shoe_size", "missing: note")
    assert layout.absent == ("note",)


def test_a_missing_required_column_is_named() -> None:
    with pytest.raises(BadDump, match="lacks is_open") as caught:
        understand(tuple(name for name in NAMES if name != "is_open"), VISITS)
    assert caught.value.rule == "contract.missing_column"


def test_names_are_exact() -> None:
    with pytest.raises(BadDump, match="lacks visit_id"):
        understand(tuple(name.upper() for name in NAMES), VISITS)


def test_ciphertext_refuses_the_dump_and_is_named() -> None:
    with pytest.raises(BadDump, match="form_ciphertext") as caught:
        understand((*NAMES, "form_ciphertext"), VISITS)
    assert caught.value.rule == "contract.refused_column"


def test_a_read_column_may_not_come_twice() -> None:
    with pytest.raises(BadDump, match="more than once: note") as caught:
        understand((*NAMES, "note"), VISITS)
    assert caught.value.rule == "contract.duplicate_column"


def test_a_column_and_its_alias_are_one_column_twice() -> None:
    with pytest.raises(BadDump, match="room"):
        understand((*NAMES, "room_no"), VISITS)


def test_dropped_and_unknown_columns_may_come_twice() -> None:
    assert understand((*NAMES, "secret", "shoe", "shoe"), VISITS).drift == ("added: shoe",)


@pytest.mark.parametrize("line", [("1", "Jane", "Canary"), ("Jane Canary_ciphertext", "2")])
def test_a_first_line_that_is_no_header_is_never_quoted(line: tuple[str, ...]) -> None:
    with pytest.raises(BadDump) as caught:
        understand(line, VISITS)
    assert "Jane" not in str(caught.value)
    assert "Canary" not in str(caught.value)


def test_an_added_name_that_is_no_identifier_is_not_shown() -> None:
    layout = understand((*NAMES, "jane@canary.example", "shoe\n"), VISITS)
    assert layout.drift == (f"added: (column {len(NAMES) + 1})", f"added: (column {len(NAMES) + 2})")
    assert "jane@canary.example" not in layout.seen


LOOSE = dataclasses.replace(VISITS, names="loose")


def test_loose_names_are_one_whatever_their_case_blanks_and_underscores() -> None:
    delivered = tuple(name.upper().replace("_", " ") for name in NAMES)
    layout = understand(delivered, LOOSE)
    assert layout.positions["patient_no"] == NAMES.index("patient_no")
    assert layout.drift == ()
    assert layout.seen == delivered


def test_loose_aliases_count_too() -> None:
    layout = understand(tuple("RoomNo" if name == "room" else name for name in NAMES), LOOSE)
    assert layout.positions["room"] == NAMES.index("room")


def test_two_loose_names_of_one_column_are_one_column_twice() -> None:
    with pytest.raises(BadDump, match="more than once: patient_no"):
        understand((*NAMES, "PatientNo"), LOOSE)


def test_copies_are_told_to_who_compares_them() -> None:
    layout = understand((*NAMES, "note", "secret"), VISITS, may_repeat=True)
    assert layout.copies == {"note": (len(NAMES),)}
    assert layout.positions["note"] == NAMES.index("note")
