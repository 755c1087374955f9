"""`claims-pipeline audit` as a terminal sees it."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from claims_pipeline import auditing
from claims_pipeline.services import Services
from claims_pipeline.settings import get_settings
from claims_pipeline_tests.cli.terminal import call, call_json
from claims_pipeline_tests.fix_dagster import CodeLocation, as_csv, upload_lines, upload_name

DAY = 86_400
CHAIN = "ops.load va_form526/form526_uploads"


@pytest.fixture
def loaded(location: CodeLocation) -> CodeLocation:
    """A code location with one loaded dump."""
    location.put(upload_name(), as_csv(upload_lines(3)))
    assert call("catch-up").exit_code == 0
    return location


def tamper(location: CodeLocation, statement: str) -> None:
    """As somebody who has switched the triggers off."""
    with psycopg.connect(location.database_url) as connection:
        connection.execute("set session_replication_role = replica")
        connection.execute(statement.encode())


def test_an_audit_that_is_whole_ends_with_0(loaded: CodeLocation) -> None:
    result = call("audit", "verify")
    assert (result.exit_code, "are what was written" in result.stdout) == (0, True)


def test_a_changed_entry_ends_with_1_and_is_named(loaded: CodeLocation) -> None:
    tamper(loaded, "update ops.load set run_id = 'another'")
    result = call_json("audit", "verify")
    found = [(b["chain"], b["what"], b["table"], b["entry_id"]) for b in result["found"]["breaks"]]
    assert (result["unbroken"], found) == (False, [(CHAIN, "changed", "ops.load", 1)])
    assert call("audit", "verify", "--keep").exit_code == 1
    assert call_json("audit", "verify")["compared_with"] == ""  # of a broken audit no heads are kept


def test_heads_that_were_printed_prove_history_later(loaded: CodeLocation, tmp_path: Path) -> None:
    file = tmp_path / "heads.json"
    file.write_text(call("audit", "heads").stdout)
    result = call("audit", "verify", "--heads", str(file))
    assert (result.exit_code, "unchanged since heads.json" in " ".join(result.stdout.split())) == (0, True)
    tamper(loaded, "delete from ops.audit_link; delete from ops.audit_head; delete from ops.load")
    assert call("audit", "verify", "--heads", str(file)).exit_code == 1


def test_heads_that_were_kept_in_the_archive_count_by_default(loaded: CodeLocation) -> None:
    call("audit", "heads", "--keep")
    tamper(loaded, "delete from ops.audit_link; delete from ops.audit_head; delete from ops.load")
    result = call("audit", "verify")
    assert (result.exit_code, "cut off" in result.stdout) == (1, True)


def test_heads_that_were_verified_are_kept_in_one_go(loaded: CodeLocation) -> None:
    assert call("audit", "verify", "--keep").exit_code == 0
    assert "unchanged since audit/heads-" in call_json("audit", "verify")["summary"]


def test_kept_heads_that_somebody_deleted_are_missed(loaded: CodeLocation) -> None:
    assert call("audit", "verify").exit_code == 0  # a new audit has none yet
    tamper(loaded, "update ops.audit_link set linked_at = linked_at - interval '4 days'")
    assert "no heads are kept" in call_json("audit", "verify")["summary"]
    assert call("audit", "verify").exit_code == 1
    call("audit", "heads", "--keep")
    assert call("audit", "verify").exit_code == 0


def age() -> float:
    """Seconds since the audit was found unbroken, as it is sent."""
    return auditing.age(Services(get_settings()))


@pytest.fixture
def old(location: CodeLocation) -> CodeLocation:
    """A code location whose database was set up four days ago."""
    with psycopg.connect(location.database_url) as connection:
        connection.execute("update public.claims_pipeline_migration set applied_at = now() - interval '4 days'")
    return location


def test_the_age_of_an_audit_that_was_never_verified_is_that_of_the_database(old: CodeLocation) -> None:
    assert call("audit", "verify").exit_code == 0  # keeps no heads: nobody would know of it
    assert 4 * DAY < age() < 5 * DAY


def test_a_verification_that_keeps_heads_ends_the_age(old: CodeLocation) -> None:
    assert call("audit", "verify", "--keep").exit_code == 0
    assert age() < DAY


def test_a_verification_of_a_broken_audit_leaves_the_age_as_it_was(old: CodeLocation) -> None:
    tamper(old, "insert into ops.backup (kind, passed, run_id) values ('backup', true, 'slipped in')")
    assert call("audit", "verify", "--keep").exit_code == 1
    assert age() > 4 * DAY


@pytest.mark.parametrize("text", ["", "[]", '{"a": 1}'])
def test_a_file_without_heads_ends_with_3(loaded: CodeLocation, tmp_path: Path, text: str) -> None:
    file = tmp_path / "heads.json"
    file.write_text(text)
    result = call("audit", "verify", "--heads", str(file))
    assert (result.exit_code, "does not hold the heads" in " ".join(result.stderr.split())) == (3, True)


def test_a_file_that_is_not_there_ends_with_3(loaded: CodeLocation) -> None:
    assert call("audit", "verify", "--heads", "nowhere.json").exit_code == 3
