"""Columns that a dump lacks are filled from the document that it holds, and the document goes no further."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from claims_pipeline.feeds import feed_named
from claims_pipeline.frames import KeyRing, Keys, Validation, make_key_ring, validate_dump

FEED = feed_named("va_form526/form526_submissions")
SSN = "999-12-3456"
FORM: dict[str, Any] = {
    "form526": {
        "form526": {
            "veteran": {
                "currentMailingAddress": {"state": "OH", "zipFirstFive": "43004", "country": "USA"},
                "homelessness": {"homelessnessRisk": {"homelessnessRiskSituationType": "OTHER"}},
                "currentlyVAEmployee": False,
            },
            "serviceInformation": {"servicePeriods": [{"serviceBranch": "Army"}, {"serviceBranch": "Air Force"}]},
            "disabilities": [
                {"disabilityActionType": "NEW", "secondaryDisabilities": [{"name": "x"}]},
                {"disabilityActionType": "INCREASE"},
            ],
            "bddQualified": False,
            "standardClaim": True,
            "claimSubmissionSource": "VA.gov",
            "startedFormVersion": "2022",
        }
    },
    "form526_uploads": [{"name": "a"}, {"name": "b"}],
    "form4142": {"veteran": {"ssn": SSN}},
    "form0781": None,
}


def _validated(tmp_path: Path, *documents: str, **columns: str) -> tuple[Validation, list[dict[str, Any]]]:
    required = {
        "saved_claim_id": "1", "submitted_claim_id": "", "user_uuid": "u", "submit_endpoint": "0", "aasm_state": "",
        "workflow_complete": "t", "backup_submitted_claim_status": "", "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    text = io.StringIO()
    rows = [{"id": str(i), **required, **columns, "form_json": d} for i, d in enumerate(documents, 1)]
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    keys = Keys(token=KeyRing.parse(make_key_ring()), quarantine=KeyRing.parse(make_key_ring()))
    paths = tmp_path / "rows.parquet", tmp_path / "rejects.parquet"
    result = validate_dump(
        io.BytesIO(text.getvalue().encode()),
        feed=FEED,
        compression=None,
        stamp=dt.datetime(2026, 1, 2, tzinfo=dt.UTC),
        delivery_day=dt.date(2026, 1, 2),
        keys=keys,
        rows_file=paths[0],
        rejects_file=paths[1],
    )
    assert SSN.encode() not in paths[0].read_bytes()
    table: pa.Table = pq.read_table(paths[0])
    return result, table.to_pylist()


def test_a_dump_with_the_form_alone_gets_its_columns_from_it(tmp_path: Path) -> None:
    result, (row,) = _validated(tmp_path, json.dumps(FORM))
    assert result.kept == 1
    expected = {
        "disability_count": 3, "new_count": 1, "increase_count": 1, "secondary_count": 1, "upload_count": 2,
        "has_form4142": True, "has_form0781": False, "has_toxic_exposure": False, "homeless_or_at_risk": "atRisk",
        "is_va_employee": False, "service_branches": ["Army", "Air Force"], "mailing_state": "OH",
        "mailing_zip3": "430", "country": "USA", "started_form_version": "2022", "standard_claim": True,
    }  # fmt: skip
    assert {name: row[name] for name in expected} == expected


def test_a_column_that_the_dump_holds_is_not_taken_from_the_form(tmp_path: Path) -> None:
    _, (row,) = _validated(tmp_path, json.dumps(FORM), country="Canada")
    assert row["country"] == "Canada"
    assert row["mailing_state"] == "OH"


def test_a_form_that_holds_less_or_is_no_json_gives_null_and_costs_no_row(tmp_path: Path) -> None:
    strange = {"form526": {"form526": {"disabilities": "none", "veteran": {}}}}
    documents = ["{", "", "[]", "[" * 20_000, json.dumps(strange), json.dumps(FORM)]
    result, rows = _validated(tmp_path, *documents)
    assert result.kept == 6
    assert [row["disability_count"] for row in rows] == [None, None, None, None, None, 3]
    assert [row["mailing_state"] for row in rows] == [None, None, None, None, None, "OH"]


def test_what_the_form_says_is_checked_like_any_other_value(tmp_path: Path) -> None:
    form = json.loads(json.dumps(FORM))
    form["form526"]["form526"]["veteran"]["currentMailingAddress"]["state"] = "Atlantis"
    result, _ = _validated(tmp_path, json.dumps(form))
    assert result.rejects == {"mailing_state.isin": 1}


def test_text_of_the_form_that_postgres_cannot_hold_costs_its_row_and_no_more(tmp_path: Path) -> None:
    documents = []
    for country in ("\ud800", "a\x00b", "USA"):
        form = json.loads(json.dumps(FORM))
        form["form526"]["form526"]["veteran"]["currentMailingAddress"]["country"] = country
        documents.append(json.dumps(form))
    result, rows = _validated(tmp_path, *documents)
    assert result.rejects == {"country.encoding": 1, "country.nul": 1}
    assert [row["country"] for row in rows] == ["USA"]
