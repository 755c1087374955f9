"""What commands tell where a CronJob runs them, over real UDP: the lean mode has no daemon that could."""

from __future__ import annotations

import psycopg
import pytest
import typer

from claims_pipeline.cli.telling import told
from claims_pipeline.feeds.va_form526 import SENDER
from claims_pipeline_tests.cli.terminal import call
from claims_pipeline_tests.fix_dagster import CodeLocation, Configure, as_csv, upload_lines, upload_name
from claims_pipeline_tests.fix_listeners import StatsdLine, StatsdListener


@pytest.fixture
def agent(configure: Configure, statsd: StatsdListener) -> StatsdListener:
    """A Datadog agent, to which the settings point."""
    configure(datadog_statsd_host="127.0.0.1", datadog_statsd_port=statsd.port)
    return statsd


def sent(agent: StatsdListener, name: str) -> list[StatsdLine]:
    """The lines of a metric, so far."""
    return [line for line in agent.metrics(at_least=0) if line.name == name]


def failed_tasks(agent: StatsdListener) -> list[str]:
    """Tasks that were told as failed."""
    return [line.tags["task"] for line in sent(agent, "claims.upkeep.failed")]


def test_a_catch_up_sends_its_sign_and_how_things_stand(location: CodeLocation, agent: StatsdListener) -> None:
    assert call("catch-up").exit_code == 0
    names = {line.name for line in agent.metrics()}
    assert names >= {
        "claims.catch_up", "claims.dumps.held", "claims.feed.days_behind", "claims.reports.behind", "claims.backup.age",
        "claims.backup.drill.age", "claims.audit.age",
    }  # fmt: skip


def test_a_catch_up_of_one_sender_is_no_sign_of_all(location: CodeLocation, agent: StatsdListener) -> None:
    assert call("catch-up", "--sender", SENDER.name).exit_code == 0
    assert sent(agent, "claims.catch_up") == []


def test_a_catch_up_that_cannot_work_is_told_and_sends_no_sign(
    location: CodeLocation, agent: StatsdListener, configure: Configure
) -> None:
    configure(database_url="postgresql://nobody@127.0.0.1:9/none")
    assert call("catch-up").exit_code == 3
    assert (failed_tasks(agent), sent(agent, "claims.catch_up")) == (["catch_up"], [])


def test_a_dump_that_was_not_finished_is_a_failed_run(location: CodeLocation, agent: StatsdListener) -> None:
    location.put(upload_name(), as_csv(upload_lines()))
    with psycopg.connect(location.database_url) as connection:
        connection.execute(f"alter table {SENDER.name}.form526_uploads drop column submission_id cascade".encode())
    assert call("catch-up").exit_code == 3
    assert [line.tags["outcome"] for line in sent(agent, "claims.runs")] == ["failure"]


@pytest.mark.parametrize(
    ("command", "task"),
    [
        ("backup now", "backup"), ("backup drill", "restore_drill"), ("rebuild-drill", "rebuild_drill"),
        ("prune --apply", "prune"), ("backup prune --apply", "backup_prune"),
        ("audit verify", "audit"), ("audit heads --keep", "audit"),
    ],
)  # fmt: skip
def test_a_task_of_a_cronjob_that_fails_is_told(
    command: str, task: str, agent: StatsdListener, configure: Configure
) -> None:
    configure(
        database_url="postgresql://nobody@127.0.0.1:9/none", s3_endpoint_url="http://127.0.0.1:9",
        s3_access_key_id="a", s3_secret_access_key="b",
    )  # fmt: skip
    assert call(*command.split()).exit_code == 3
    assert failed_tasks(agent) == [task]


def test_an_end_that_asks_for_attention_is_told(agent: StatsdListener) -> None:
    with pytest.raises(typer.Exit), told("audit"):
        raise typer.Exit(1)
    assert failed_tasks(agent) == ["audit"]


def test_a_command_that_ends_well_tells_nothing(agent: StatsdListener) -> None:
    with told("backup"):
        pass
    assert failed_tasks(agent) == []


def test_the_text_of_a_foreign_exception_is_not_told(agent: StatsdListener) -> None:
    with pytest.raises(ValueError, match="a value"), told("backup"):
        raise ValueError("a value of a record")
    assert (failed_tasks(agent), "a value" in str(agent.packets)) == (["backup"], False)


def test_who_sits_at_a_terminal_is_not_told_a_second_time(
    agent: StatsdListener, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal:
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal())
    with pytest.raises(typer.Exit), told("backup"):
        raise typer.Exit(3)
    assert failed_tasks(agent) == []
