"""Whose a row is: by tokens, by key, through another row; as delivered, as stored, under several keys."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from claims_pipeline.errors import SettingsError
from claims_pipeline.feeds import feed_named
from claims_pipeline.frames import KeyRing, Recogniser, Withheld, make_key_ring
from claims_pipeline.frames.treat import tokens
from claims_pipeline.frames.withheld import Recognised

PATIENTS, APPOINTMENTS = feed_named("indici/patients"), feed_named("indici/appointments")
OLD, NEW = KeyRing.parse(make_key_ring()), KeyRing.parse(make_key_ring().replace("v1:", "v2:"))
BOTH = KeyRing((*OLD.keys, *NEW.keys))
NHI = "ZZZ0016"


def delivered(ring: KeyRing, withheld: Withheld, *rows: dict[str, str | None]) -> Recognised:
    return Recogniser(PATIENTS, ring, withheld).in_sealed(rows)


def patient(number: str | None, nhi: str | None) -> dict[str, str | None]:
    return {"PatientID": number, "PracticeID": "535", "NHINumber": nhi}


def token(ring: KeyRing) -> str:
    """As the table holds it."""
    return str(tokens(pa.array([NHI]), sender="indici", family="nhi", keys=ring)[0])


def registered(ring: KeyRing) -> Withheld:
    made = token(ring)
    return Withheld(tokens={made: made})


def test_a_row_is_recognised_by_its_identifier_however_it_is_written() -> None:
    found = delivered(OLD, registered(OLD), patient("1", f" {NHI.lower()} "), patient("2", "ZZZ0024"))
    assert found.rows.tolist() == [True, False]
    assert found.keys == {("1", "535")}


def test_a_row_without_identifier_is_recognised_by_its_key() -> None:
    withheld = Withheld(keys=frozenset({("1", "535")}))
    found = delivered(OLD, withheld, patient("1", None), patient("2", None))
    assert (found.rows.tolist(), found.keys) == ([True, False], frozenset())


def test_under_a_new_key_the_old_token_is_recognised_and_the_new_one_told() -> None:
    found = delivered(BOTH, registered(OLD), patient("1", NHI))
    assert found.rows.all()
    assert found.tokens == {token(NEW): token(OLD)}


def test_without_the_key_of_a_registered_token_nothing_is_recognised_in_silence() -> None:
    with pytest.raises(SettingsError, match="made with key v1"):
        Recogniser(PATIENTS, NEW, registered(OLD))


def test_the_old_key_is_not_needed_once_the_new_token_is_registered_too() -> None:
    both = Withheld(tokens={token(OLD): token(OLD), token(NEW): token(OLD)})
    assert delivered(NEW, both, patient("1", NHI)).rows.all()


def test_what_says_nothing_of_whom_it_is_counts_as_unread() -> None:
    found = delivered(OLD, registered(OLD), {"_line": "x,y"}, patient(None, None), patient("1", None))
    assert found.unread.tolist() == [True, True, False]


def rows(feed_rows: list[dict[str, str | None]]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(feed_rows)


def test_a_row_that_names_another_persons_row_is_that_persons_although_its_key_was_the_erased_ones() -> None:
    withheld = Withheld(keys=frozenset({("9", "535")}), parents=frozenset({("1", "535")}))
    recogniser = Recogniser(APPOINTMENTS, OLD, withheld)
    batch = rows(
        [
            {"appointment_id": "8", "patient_id": "1", "practice_id": "535"},
            {"appointment_id": "9", "patient_id": "2", "practice_id": "535"},
            {"appointment_id": "9", "patient_id": None, "practice_id": "535"},
        ]
    )
    assert np.array_equal(recogniser.in_stored(batch).rows, [True, False, True])


def test_a_column_that_old_frames_lack_counts_as_null() -> None:
    recogniser = Recogniser(PATIENTS, OLD, Withheld(keys=frozenset({("1", "535")})))
    assert recogniser.in_stored(rows([{"patient_id": "1", "practice_id": "535"}])).rows.all()
