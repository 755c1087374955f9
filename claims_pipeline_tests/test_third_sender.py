"""A third sender costs one file: the example of docs/adding-a-feed.md, brought by a package of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from claims_pipeline.settings import PROJECT_ROOT
from claims_pipeline_tests.cli.terminal import call, call_json
from claims_pipeline_tests.fix_depot import forget_registry

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

EXAMPLE = PROJECT_ROOT / "docs" / "examples" / "clinic.py"
HEADER = "visit_id;patient_number;born;ward;admitted_at;left_at;bill;notes;changed_at"
ROWS = (
    "1;P-77;01.02.1950;surgery;01.03.2026 08:15;03.03.2026 10:00;1.234,50;canary-note;2026-03-03T11:00:00",
    "2;P-77;01.02.1950;garden;02.03.2026 09:00;;12,00;;2026-03-03T12:00:00",
    "3;P-78;31.02.1950;surgery;02.03.2026 09:00;;;;2026-03-03T12:00:00",
    "4;P-79;;surgery;05.03.2026 09:00;04.03.2026 09:00;0,10;;2026-03-05T12:00:00",
)


@pytest.fixture
def installed(tmp_path: Path) -> dict[str, str]:
    """An environment in which a package with the example is installed, entry point and all."""
    (tmp_path / "our_feeds").mkdir()
    (tmp_path / "our_feeds" / "__init__.py").touch()
    (tmp_path / "our_feeds" / "clinic.py").write_bytes(EXAMPLE.read_bytes())
    info = tmp_path / "our_feeds-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: our-feeds\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[claims_pipeline.feeds]\nclinic = our_feeds.clinic\n")
    return {"PYTHONPATH": str(tmp_path)}


@pytest.fixture
def command(installed: dict[str, str], pointed: str) -> Any:
    """Runs `claims-pipeline` as its own process, on the test's database and buckets."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-m", "claims_pipeline.cli", *arguments]
        return subprocess.run(words, env={**os.environ, **installed}, capture_output=True, text=True, check=False)

    return run


@pytest.fixture
def known(installed: dict[str, str], pointed: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The package is installed in this process, too: a process of its own for each command takes 2 s of CPU."""
    monkeypatch.syspath_prepend(installed["PYTHONPATH"])
    forget_registry()
    yield
    forget_registry()


def test_the_example_has_at_most_sixty_lines() -> None:
    assert len(EXAMPLE.read_text().splitlines()) <= 60


def test_it_gets_assets_checks_sensor_and_schedule(installed: dict[str, str]) -> None:
    code = (
        "import json; from claims_pipeline.definitions import build_definitions\n"
        "defs = build_definitions(); repository = defs.get_repository_def()\n"
        "keys = sorted(k.to_user_string() for k in defs.resolve_all_asset_keys() if 'clinic' in k.path)\n"
        "checks = sum('clinic' in k.asset_key.path for k in repository.asset_graph.asset_check_keys)\n"
        "sensors = sorted(s.name for s in repository.sensor_defs if 'clinic' in s.name)\n"
        "schedules = sorted(s.name for s in repository.schedule_defs if 'clinic' in s.name)\n"
        "print(json.dumps([keys, checks, sensors, schedules]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **installed}, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout.splitlines()[-1]) == [
        [f"{layer}clinic/{dataset}" for layer in ("", "raw/", "validated/") for dataset in ("visits", "wards")],
        7 + 9,
        ["arrivals_clinic"],
        ["missing_clinic"],
    ]


def test_its_dump_becomes_typed_treated_rows_quarantine_and_a_view(
    command: Any, pointed: str, s3: S3Client, bucket: str
) -> None:
    assert command("migrate").returncode == 0
    body = "\n".join((HEADER, *ROWS)).encode()
    s3.put_object(Bucket=bucket, Key="clinic/visits_20260305233000.csv", Body=body)
    done = command("catch-up", "--sender", "clinic", "--json")
    (report,) = json.loads(done.stdout)
    (dump,) = report["dumps"]
    assert (dump["status"], dump["rows"]["inserted"], dump["rows"]["quarantined"]) == ("loaded", 2, 2)
    assert dump["rejects"] == {"born.cast": 1, "row.left_after_admitted": 1}
    assert dump["issues"] == {"ward.isin": 1}
    assert "canary-note" not in done.stdout + done.stderr
    with psycopg.connect(pointed) as connection:
        rows = connection.execute(
            "select visit_id, birth_year, ward, admitted_at at time zone 'UTC', bill::text, patient_key"
            " from clinic.visits order by visit_id"
        ).fetchall()
        view = connection.execute("select period, grain, ward, rows from bi.clinic_visits").fetchall()
    assert [row[:3] for row in rows] == [(1, "1950", "surgery"), (2, "1950", "garden")]
    assert rows[0][3].isoformat() == "2026-03-01T07:15:00"  # Vienna is an hour ahead of UTC in winter
    assert [row[4] for row in rows] == ["1234.50", "12.00"]
    assert rows[0][5] == rows[1][5] != "P-77"
    assert view == []  # two visits of one person


@pytest.mark.usefixtures("known")
def test_its_dictionary_is_shown() -> None:
    described = call_json("feeds", "show", "clinic/visits")
    assert described["key"] == ["visit_id"]
    assert {c["name"]: c["treatment"] for c in described["columns"]}["notes"] == "drop"


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize("lively", [False, True])
def test_fake_dumps_are_made_from_the_contract_and_load(pointed: str, lively: bool) -> None:
    assert call("migrate").exit_code == 0
    words = ["--sender", "clinic", "--days", "5", "--rows", "300", "--first", "2026-03-02", "--json"]
    made = call("generate", *words, *(["--lively"] if lively else []))
    assert made.exit_code == 0, made.stderr
    manifest = json.loads(made.stdout)
    call("catch-up", "--sender", "clinic")
    with psycopg.connect(pointed) as connection:
        count = "select (select count(*) from clinic.visits), (select count(*) from clinic.wards)"
        visits, wards = connection.execute(count).fetchone() or (0, 0)
        gone = 'select count(*) from history."clinic__wards" where _operation = %s and _retracted_by is null'
        (counted,) = connection.execute("select sum(rows) from bi.clinic_visits").fetchone() or (0,)
        (deleted,) = connection.execute(gone, ["deleted"]).fetchone() or (0,)
    assert (visits, wards) == (manifest["live"]["visits"], manifest["live"]["wards"])
    assert counted == visits
    assert deleted > 0
