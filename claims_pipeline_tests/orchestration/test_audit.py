"""The daily verification in Dagster: it passes and keeps heads, fails and tells where the audit was changed."""

from __future__ import annotations

import dagster as dg
import pytest

from claims_pipeline import auditing
from claims_pipeline.orchestration.audit import AUDIT
from claims_pipeline.services import Services
from claims_pipeline.settings import get_settings
from claims_pipeline_tests.fix_dagster import CodeLocation, Configure, as_csv, upload_lines, upload_name, whole_job
from claims_pipeline_tests.fix_listeners import SlackListener

CHECK = ("ops/audit", "audit_unbroken")


def verify(location: CodeLocation) -> dg.ExecuteInProcessResult:
    return whole_job().execute_in_process(
        instance=location.instance,
        asset_selection=[AUDIT],
        raise_on_error=False,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )


@pytest.fixture
def loaded(location: CodeLocation) -> CodeLocation:
    """A code location with one load in the audit."""
    location.put(upload_name(), as_csv(upload_lines(3)))
    location.deliver()
    return location


@pytest.fixture
def tampered(loaded: CodeLocation) -> CodeLocation:
    """The same, the load changed by somebody who has switched the triggers off."""
    with loaded.database() as connection, connection.transaction():
        connection.execute("set local session_replication_role = replica")
        connection.execute("update ops.load set run_id = 'another'")
    return loaded


def test_an_audit_that_is_whole_passes(loaded: CodeLocation) -> None:
    result = verify(loaded)
    assert (result.success, loaded.checks(result)) == (True, {CHECK: True})


def test_its_heads_are_kept_in_the_archive(loaded: CodeLocation) -> None:
    verify(loaded)
    kept, key = auditing.newest_kept(Services(get_settings()))
    assert (key.startswith("audit/heads-"), "ops.load va_form526/form526_uploads" in kept) == (True, True)


def test_a_changed_entry_fails_the_check_and_the_run(tampered: CodeLocation) -> None:
    result = verify(tampered)
    assert (result.success, tampered.checks(result)) == (False, {CHECK: False})


def test_the_heads_of_a_broken_audit_are_not_kept(tampered: CodeLocation) -> None:
    verify(tampered)
    assert auditing.newest_kept(Services(get_settings())) == ({}, "")


def test_slack_is_told(tampered: CodeLocation, slack_api: SlackListener, configure: Configure) -> None:
    configure(slack_token="xoxb-test", slack_base_url=slack_api.base_url)
    verify(tampered)
    (call,) = slack_api.calls
    assert "ops.load entry 1 changed" in str(call)
